# %% [markdown]
# # Glossary
#
# The words of the nine lessons, each with the lesson that explains it. They are those of
# [ReactiveX](https://reactivex.io), which Rx in every language shares, and of WebSockets
# ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)).
#
# - **backoff** ([8](08-when-it-breaks.ipynb)): to wait longer before each attempt to reconnect, since what is still down
#   after a second may well be down for a minute.
# - **backpressure** ([7](07-too-fast.ipynb)): a receiver that is busy slows the sender down, through everything in between.
# - **buffer** ([7](07-too-fast.ipynb)): a place where values wait until somebody has time for them. It is good for a burst;
#   where values are too fast on average, every buffer is full in the end.
# - **builder** ([6](06-from-stream-to-screen.ipynb)): the function that is given a snapshot and returns what is to be drawn.
#   It runs when the display draws, not when a message comes.
# - **channel** ([1](01-connect-listen-send-close.ipynb)): an open WebSocket with two ends, a stream to listen to and a sink
#   to send with.
# - **close code** ([1](01-connect-listen-send-close.ipynb)): a number that says why a WebSocket was closed. 1000 is a normal
#   closure, 1006 says that it was lost without any code, 4000 to 4999 are free for your own use.
# - **cold** ([2](02-streams.ipynb)): said of an observable that begins when you subscribe, and anew for each subscription.
# - **completed** ([1](01-connect-listen-send-close.ipynb)): the notification that all has come and nothing follows.
# - **conflation** ([7](07-too-fast.ipynb)): whatever comes while the subscriber is busy becomes one value, such as the newest.
# - **connectable** ([2](02-streams.ipynb)): said of an observable that subscribes to its source when you call `connect`, once
#   for all of its subscribers.
# - **debouncing** ([7](07-too-fast.ipynb)): to let a value pass when no other has followed it for a while.
# - **dispose** ([2](02-streams.ipynb)): to end a subscription, so that nothing comes any more. The observable goes on for others.
# - **feed** ([3](03-sinks.ipynb)): to have an observable call a sink's methods.
# - **flow control** ([7](07-too-fast.ipynb)): nobody sends more than the other end has room for. TCP sees to that.
# - **grammar** ([3](03-sinks.ipynb)): the order in which notifications may come: *next* as often as it likes, then *completed*
#   or *error*, once, and nothing after that.
# - **hot** ([2](02-streams.ipynb)): said of an observable that goes on whether anybody listens or not. A subscriber gets what
#   comes from then on.
# - **inner observable** ([4](04-operators.ipynb)): an observable that is itself a value of another one, such as a window.
# - **jitter** ([8](08-when-it-breaks.ipynb)): to wait for a random part of the time, so that many clients of a server that
#   comes back do not all come at the same moment.
# - **keepalive** ([8](08-when-it-breaks.ipynb)): to ping again and again, so that a dead peer is noticed, although
#   nothing else would tell.
# - **late subscriber** ([2](02-streams.ipynb)): one who subscribes after a message has gone by, and so has missed it.
# - **marble diagram** ([1](01-connect-listen-send-close.ipynb)): a drawing of observables: time goes from left to right, a line
#   for each observable, and on it a marble for each value at the moment it came.
# - **message** ([1](01-connect-listen-send-close.ipynb)): what a WebSocket carries, as a whole: a text or some bytes.
# - **multicast** ([2](02-streams.ipynb)): each value comes once, and is handed to all who are subscribed at that moment.
# - **notification** ([1](01-connect-listen-send-close.ipynb)): what an observable tells: *next* (a value), *completed*, or *error*.
# - **observable** ([1](01-connect-listen-send-close.ipynb)): something that you subscribe to, and that calls you when there is
#   something new.
# - **observer** ([2](02-streams.ipynb)): whoever is subscribed to an observable: up to three functions, or methods, one for each
#   kind of notification.
# - **opening handshake** ([1](01-connect-listen-send-close.ipynb)): how a WebSocket begins: the client asks for one, the server
#   agrees.
# - **operator** ([1](01-connect-listen-send-close.ipynb)): a function that makes one observable out of another, such as `map`.
# - **operator function** ([9](09-your-own-operator.ipynb)): a function that takes an operator's arguments, and returns the
#   function that takes the source. `ops.take` is one.
# - **ping**, **pong** ([8](08-when-it-breaks.ipynb)): a small frame that asks "are you there?", and the answer, which each
#   WebSocket gives by itself.
# - **reconnect** ([8](08-when-it-breaks.ipynb)): to connect anew after a connection was lost.
# - **renderable** ([6](06-from-stream-to-screen.ipynb)): something that the library Rich can draw.
# - **retry** ([8](08-when-it-breaks.ipynb)): to subscribe again after an error.
# - **sampling** ([7](07-too-fast.ipynb)): to look at a stream at regular times, and take what is newest then.
# - **scheduler** ([5](05-marbles-and-virtual-time.ipynb)): an object that tells the time, and does a piece of work when its
#   time has come. Whatever waits in Rx leaves the waiting to one.
# - **seed** ([4](04-operators.ipynb)): what the result of `scan` or `reduce` is before the first value has come.
# - **serialized** ([3](03-sinks.ipynb)): said of notifications when each call is over before the next begins: one writer at a
#   time.
# - **side effect** ([9](09-your-own-operator.ipynb)): whatever a function does beside returning its result.
# - **sink** ([1](01-connect-listen-send-close.ipynb)): the end of a channel to send with. It is an observer.
# - **snapshot** ([6](06-from-stream-to-screen.ipynb)): all that is known of a stream at one moment: its state, and its latest data,
#   or its error, or neither.
# - **stream** ([1](01-connect-listen-send-close.ipynb)): the end of a channel to listen to. It is an observable.
# - **subject** ([3](03-sinks.ipynb)): something that is observer and observable at once: what it is told, it tells all who are
#   subscribed.
# - **subscribe** ([1](01-connect-listen-send-close.ipynb)): to tell an observable whom to call.
# - **subscription** ([2](02-streams.ipynb)): being subscribed. What `subscribe` returns stands for it, and can be disposed of.
# - **throttling** ([7](07-too-fast.ipynb)): to let a value pass at once, and then no other for a while.
# - **timespan** ([5](05-marbles-and-virtual-time.ipynb)): how many seconds a character of written marbles takes.
# - **type variable** ([9](09-your-own-operator.ipynb)): a name, such as `T`, that stands for any type, but for the same one
#   wherever it is written.
# - **virtual time** ([5](05-marbles-and-virtual-time.ipynb)): what goes by on a clock that is only a number. It never sleeps, so a
#   test takes no time.
# - **WebSocket** ([1](01-connect-listen-send-close.ipynb)): a connection over which a client and a server send each other
#   messages, each whenever it likes.
# - **window** ([4](04-operators.ipynb)): a piece of a stream, of so much time or so many values, that is a stream itself.
