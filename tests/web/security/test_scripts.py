"""What somebody typed never becomes markup: every field of every form, read by a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flags.database import Database
from tests.web.console.conftest import Page
from tests.web.managed import Clock, make_app
from tests.web.security.conftest import KEYS, Walls, furnish
from tests.web.security.test_headers import readable

EVIL = "\"'><xss-x onfocus=alert(1) style=color:red></xss-x><script>alert(2)</script>{{7*7}}"
# What would end what the others are tried on.
ENDS = ("/logout", "/delete", "/revoke", "/disable", "/withdraw", "/decline", "/remove", "/role")
TYPED = {None, "", "text", "search", "email", "url", "number"}
# A form's field called "attributes" hides the form's own attributes.
LOOK = """pages => { const ADDRESSES = new Set(['href', 'src', 'action', 'formaction', 'data',
    'xlink:href', 'srcdoc', 'poster', 'background', 'hx-get', 'hx-post', 'hx-push-url']);
  return pages.flatMap(([where, html]) => {
    const found = [];
    const page = new DOMParser().parseFromString(html, 'text/html');
    for (const each of page.querySelectorAll('*')) {
        const say = what => found.push(`${where}: ${what} in ${each.outerHTML.slice(0, 200)}`);
        if (each.localName === 'xss-x') say('an element of ours');
        if (each.localName === 'script' && !(each.getAttribute('src') || '').startsWith('/static/'))
            say('a script');
        const own = Object.getOwnPropertyDescriptor(Element.prototype, 'attributes').get;
        for (const {name, value} of own.call(each)) {
            if (name.startsWith('on')) say('a handler');
            if (name === 'style') say('a style');
            if (ADDRESSES.has(name) && /^\\s*(javascript|data|vbscript):/i.test(value))
                say('a script as an address');
        }
    }
    return found;
})}"""


def typed(page: Page) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Give the forms of a page with the attack in every field that somebody types into."""
    free = {
        given.get("name")
        for tag, given in page.tags
        if tag == "textarea" or (tag == "input" and given.get("type") in TYPED)
    }
    for form in page.forms:
        if form.method == "post" and not form.action.endswith(ENDS):
            filled = {name: EVIL if name in free else form.fields[name] for name in form.fields}
            yield form.action, form.method, filled


def test_no_field_of_any_form_becomes_markup_on_any_page(tmp_path: Path, browser: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'evil.db'}")
    database.create_all()
    clock = Clock()
    walls = Walls(make_app(database, tmp_path, clock, console=True), database, clock)
    walls.project(name=EVIL)
    with database.write() as session:
        walls.values = {**KEYS, **furnish(session, walls, EVIL)}
    client = walls.browser("admin")
    pages: list[tuple[str, str]] = []

    def note(where: str, answer: Any) -> str:
        assert answer.status_code < 500, where
        html: str = answer.get_data(as_text=True)
        if answer.mimetype == "text/html":
            pages.append((where, html))
        return html

    accept = {"Accept": "text/html"}
    places = [path for _, path in readable(walls) if "/static/" not in path and "/api/" not in path]
    sent = set()
    for path in places:
        page = Page(note(path, client.get(path, headers=accept)))
        for action, _, fields in typed(page):
            names = (action or path, *sorted(fields))
            if names not in sent:
                sent.add(names)
                answer = client.post(action or path, data=fields, headers=accept)
                note(f"answer of {action or path}", answer)
    for path in places:
        note(path, client.get(path, headers=accept))
    flags = "/projects/shop/environments/production/flags"
    note("a search", client.get(flags, query_string={"filter": EVIL}, headers=accept))
    assert len(sent) > 25
    assert sum("&lt;xss-x" in html for _, html in pages) > 40
    context = browser.new_context()
    sheet = context.new_page()
    found = sheet.evaluate(LOOK, pages)
    context.close()
    database.dispose()
    assert found == []
