"""Renders a page with a large table from a Chameleon template."""

from zlib import crc32

from chameleon import PageTemplate

NAME = "chameleon"

ROWS = 1000
COLUMNS = 10

TEMPLATE = PageTemplate(
    """<html xmlns:tal="http://xml.zope.org/namespaces/tal">
<head><title>A table for ${reader}</title></head>
<body>
<h1 tal:content="reader">somebody</h1>
<table>
<tr tal:repeat="row table"><td tal:repeat="cell row"><span tal:attributes="class cell % 2 and 'odd' or 'even'"
tal:content="cell">0</span></td></tr>
</table>
</body>
</html>"""
)
# Compiled now, not with the first request.
TEMPLATE.cook_check()

TABLE = [range(row, row + COLUMNS) for row in range(ROWS)]


def handle(text: bytes) -> str:
    page = TEMPLATE(reader=text.decode(errors="replace"), table=TABLE).encode()
    return f"{len(page)} bytes {crc32(page):08x}"
