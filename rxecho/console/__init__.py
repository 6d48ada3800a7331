"""The console: the recipe in a terminal, interactive or plain."""
