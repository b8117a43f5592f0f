# The script itself is compiled at every start, so all else is in modules, which are compiled when the image is built.
from server import run

run()
