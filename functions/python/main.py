# The script itself is compiled at every start, so all else is in modules, which are compiled when the image is built.
import os
import signal

# Before the imports that take long. It ends at once: requests have been finished by then, and nothing here is worth a tidy
# end. The default would do the same, but not in a container, where this is process 1, which ignores what it does not handle.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

import call
import server

server.run(call.NAME or "the function")
