"""Forms as a browser reads them from a page, and sends them."""

from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

LINE_ENDS = str.maketrans("", "", "\r\n")


class Form:
    """A form of a page. `fields`: what a browser would send of it now."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: dict[str, str] = {}

    @property
    def path(self) -> str:
        return urlsplit(self.action).path

    @property
    def about(self) -> dict[str, str]:
        """What its address tells."""
        return dict(parse_qsl(urlsplit(self.action).query))


class Reader(HTMLParser):
    """Finds the forms of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._area: tuple[str, str] | None = None
        self._choice = ""
        self.feed(page.replace("\r\n", "\n").replace("\r", "\n"))  # as what reads HTML does

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, value = given.get("name", ""), given.get("value", "")
        match tag:
            case "form":
                self.forms.append(Form(given.get("action", "")))
            case "textarea":
                self._area = (name, "")
            case "select":
                self._choice = name
            case "option" if "selected" in given or self._choice not in self._fields:
                self._fields[self._choice] = value
            case "input" if name and given.get("type") == "checkbox":
                if "checked" in given:
                    self._fields[name] = value
            case "input" if name:
                is_line = given.get("type", "text") in ("text", "search")
                self._fields[name] = value.translate(LINE_ENDS) if is_line else value
            case _:
                pass

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area = (self._area[0], self._area[1] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            self._fields[self._area[0]] = self._area[1].removeprefix("\n")
            self._area = None

    @property
    def _fields(self) -> dict[str, str]:
        return self.forms[-1].fields if self.forms else {}


def form_in(page: str, path: str) -> Form:
    """The form that a page sends to this path, each end of a line as a browser sends it."""
    found = next(
        form for form in Reader(page).forms if form.path == path and "form_token" in form.fields
    )
    found.fields = {
        name.replace("\n", "\r\n"): one.replace("\0", "\ufffd").replace("\n", "\r\n")
        for name, one in found.fields.items()
    }
    return found
