"""People, sessions and keys below HTTP, on both databases."""

from __future__ import annotations

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlmodel import select

from flags import services
from flags.actor import Actor
from flags.database import Database
from flags.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    StateError,
)
from web.auth import service
from web.auth.models import LoginSession, Setting, Token, User
from web.auth.passwords import check_password, hash_password, verify_password
from web.auth.service import FirstRun, Role, TokenKind
from web.auth.settings import signing_secret
from web.auth.throttle import UnknownAccounts
from web.errors import TooManyAttemptsError, UnauthenticatedError

NOW = dt.datetime(2026, 12, 1, 9, 0, tzinfo=dt.UTC)
PASSWORD = "a long enough password"
WRONG = "not the password at all"


def later(**parts: float) -> dt.datetime:
    return NOW + dt.timedelta(**parts)


@pytest.fixture
def unknown() -> UnknownAccounts:
    return UnknownAccounts()


def authenticate(
    database: Database,
    email: str,
    password: str,
    *,
    now: dt.datetime,
    unknown: UnknownAccounts | None = None,
) -> User:
    return service.authenticate(
        database, email, password, unknown=unknown or UnknownAccounts(), now=now
    )


@pytest.fixture
def ada(database: Database) -> Database:
    with database.write() as session:
        service.create_user(
            session, email="Ada@Example.org ", password=PASSWORD, role=Role.ADMIN, now=NOW
        )
    return database


def fail(database: Database, times: int, *, now: dt.datetime = NOW) -> None:
    for _ in range(times):
        with pytest.raises(UnauthenticatedError):
            authenticate(database, "ada@example.org", WRONG, now=now)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "it needs 10"),
        ("a" * 1025, "more than 1024"),
        ("aaaaaaaaaaaa", "easy to guess"),
        ("Password123", "easy to guess"),
        ("ada.lovelace@example.org", "e-mail address"),
        ("ada.lovelace", "e-mail address"),
    ],
)
def test_a_weak_password_is_refused_in_clear_words(password: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        check_password(password, email="ada.lovelace@example.org")
    assert caught.value.field == "password"


def test_a_password_is_stored_as_salted_argon2id_and_only_itself_verifies() -> None:
    one, two = hash_password(PASSWORD), hash_password(PASSWORD)
    assert one.startswith("$argon2id$")
    assert one != two
    assert verify_password(one, PASSWORD)
    assert not verify_password(one, PASSWORD + " ")
    assert not verify_password("not a hash", PASSWORD)


def test_an_address_is_one_whatever_its_case(ada: Database) -> None:
    assert authenticate(ada, " ADA@example.ORG", PASSWORD, now=NOW).email == "ada@example.org"
    with ada.write() as session, pytest.raises(AlreadyExistsError):
        service.create_user(
            session, email="ADA@EXAMPLE.ORG", password=PASSWORD, role=Role.VIEWER, now=NOW
        )


@pytest.mark.parametrize("email", ["", "ada", "@", "a@b c", "a\n@b", "a@" + "b" * 254, "a@b@c"])
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        service.create_user(
            None,  # type: ignore[arg-type]
            email=email,
            password=PASSWORD,
            role=Role.VIEWER,
            now=NOW,
        )
    assert caught.value.field == "email"


def test_wrong_password_unknown_account_and_shut_out_person_get_one_answer(ada: Database) -> None:
    with ada.write() as session:
        user = service.create_user(
            session, email="bob@example.org", password=PASSWORD, role=Role.VIEWER, now=NOW
        )
        service.update_user(session, user.id or 0, disabled=True)
    said = set()
    for email, password in [
        ("ada@example.org", WRONG),
        ("nobody@example.org", WRONG),
        ("bob@example.org", PASSWORD),
    ]:
        with pytest.raises(UnauthenticatedError) as caught:
            authenticate(ada, email, password, now=NOW)
        said.add((caught.value.message, caught.value.hint))
    assert len(said) == 1


def test_the_fifth_failure_locks_the_account_even_for_the_right_password(ada: Database) -> None:
    fail(ada, 5)
    with pytest.raises(TooManyAttemptsError) as caught:
        authenticate(ada, "ada@example.org", PASSWORD, now=later(seconds=5))
    assert caught.value.retry_after_seconds == 10
    assert authenticate(ada, "ada@example.org", PASSWORD, now=later(seconds=15))


def test_the_lock_grows_with_every_failure_and_a_success_forgives(ada: Database) -> None:
    fail(ada, 5)
    fail(ada, 1, now=later(seconds=20))
    with pytest.raises(TooManyAttemptsError) as caught:
        authenticate(ada, "ada@example.org", PASSWORD, now=later(seconds=20))
    assert caught.value.retry_after_seconds == 30
    authenticate(ada, "ada@example.org", PASSWORD, now=later(seconds=60))
    fail(ada, 4, now=later(seconds=61))
    authenticate(ada, "ada@example.org", PASSWORD, now=later(seconds=62))


def test_an_unknown_account_is_locked_in_the_same_way(
    database: Database, unknown: UnknownAccounts
) -> None:
    for _ in range(5):
        with pytest.raises(UnauthenticatedError):
            authenticate(database, "ghost@example.org", WRONG, now=NOW, unknown=unknown)
    with pytest.raises(TooManyAttemptsError) as caught:
        authenticate(database, "ghost@example.org", WRONG, now=NOW, unknown=unknown)
    assert caught.value.retry_after_seconds == 15


def test_a_burst_of_guesses_gets_no_more_tries_than_guesses_in_a_row(ada: Database) -> None:
    start = threading.Barrier(12)

    def guess(_: int) -> type[Exception] | None:
        start.wait()
        try:
            authenticate(ada, "ada@example.org", WRONG, now=NOW)
        except (UnauthenticatedError, TooManyAttemptsError) as error:
            return type(error)
        return None

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(guess, range(12)))
    assert answers.count(UnauthenticatedError) == 5
    assert answers.count(TooManyAttemptsError) == 7


def test_a_session_lasts_seven_days_and_is_stored_as_a_hash(ada: Database) -> None:
    with ada.write() as session:
        user = session.exec(select(User)).one()
        plain = service.start_session(session, user, now=NOW)
        assert plain not in {row.id_hash for row in session.exec(select(LoginSession))}
        assert service.find_session(session, plain, now=later(days=6.9)) is not None
        assert service.find_session(session, plain, now=later(days=7)) is None
        assert service.find_session(session, "another", now=NOW) is None


def test_a_session_ends_with_sign_out_shut_door_and_new_password(ada: Database) -> None:
    for end in ("sign out", "disabled", "password"):
        with ada.write() as session:
            user = service.create_user(
                session, email=f"{end[:4].strip()}@x", password=PASSWORD, role=Role.VIEWER, now=NOW
            )
            plain = service.start_session(session, user, now=NOW)
            assert service.find_session(session, plain, now=NOW) is not None
            if end == "sign out":
                service.end_session(session, plain)
            else:
                change = {"disabled": True} if end == "disabled" else {"password": PASSWORD + "!"}
                service.update_user(session, user.id or 0, **change)  # type: ignore[arg-type]
            assert service.find_session(session, plain, now=NOW) is None, end


def test_the_last_administrator_cannot_go(ada: Database) -> None:
    with ada.write() as session:
        ada_id = session.exec(select(User)).one().id or 0
        for change in ({"role": Role.EDITOR}, {"disabled": True}):
            with pytest.raises(StateError, match="last administrator"):
                service.update_user(session, ada_id, **change)  # type: ignore[arg-type]
        service.update_user(session, ada_id, role=Role.ADMIN)
        with pytest.raises(NotFoundError):
            service.update_user(session, 4711, role=Role.ADMIN)


def test_a_key_is_256_bits_with_its_kind_in_front_and_stored_as_a_hash(database: Database) -> None:
    with database.write() as session:
        plain, token = service.create_token(
            session, TokenKind.USER, name="ci", role=Role.EDITOR, created_by="user:a", now=NOW
        )
        assert plain.startswith("fs_usr_")
        assert len(plain) == len("fs_usr_") + 43
        assert token.secret_hash == service.hash_token(plain) != plain
        assert service.find_token(session, plain, now=NOW) == token
        assert service.find_token(session, plain[:-1] + "?", now=NOW) is None
        assert service.find_token(session, "fs_usr_" + "A" * 43, now=NOW) is None


def test_a_revoked_or_expired_key_opens_nothing(database: Database) -> None:
    with database.write() as session:
        plain, token = service.create_token(
            session,
            TokenKind.USER,
            name="ci",
            role=Role.EDITOR,
            created_by="user:a",
            expires_at=later(days=1),
            now=NOW,
        )
        assert service.find_token(session, plain, now=later(days=1)) is None
        service.revoke_token(session, token, revoked_by="a", now=later(hours=1))
        assert service.find_token(session, plain, now=later(hours=2)) is None
        service.revoke_token(session, token, revoked_by="a", now=later(hours=3))
        assert token.revoked_at == later(hours=1)


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        (TokenKind.USER, {}, "role"),
        (TokenKind.USER, {"role": Role.VIEWER, "environment_id": 1}, "environment"),
        (TokenKind.SERVER, {}, "environment"),
        (TokenKind.CLIENT, {"project_id": 1}, "environment"),
        (TokenKind.SERVER, {"project_id": 1, "environment_id": 1, "role": Role.ADMIN}, "role"),
        (TokenKind.USER, {"role": Role.VIEWER, "name": " "}, "name"),
        (TokenKind.USER, {"role": Role.VIEWER, "name": "n" * 101}, "name"),
        (TokenKind.USER, {"role": Role.VIEWER, "expires_at": NOW}, "expires_at"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    kind: TokenKind, options: dict[str, object], field: str
) -> None:
    arguments = {"name": "ci", "created_by": "user:a", "now": NOW, **options}
    with pytest.raises(InvalidInputError) as caught:
        service.create_token(None, kind, **arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


@pytest.mark.postgresql
def test_postgresql_tells_the_data_plane_when_a_key_changes(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    database.create_all()
    with psycopg.connect(postgresql_url, autocommit=True) as listener:
        listener.execute("LISTEN flagstone")
        with database.write() as session:
            _, token = service.create_token(
                session, TokenKind.USER, name="ci", role=Role.VIEWER, created_by="a", now=NOW
            )
        with database.write() as session:
            service.revoke_token(session, session.get_one(Token, token.id), revoked_by="a", now=NOW)
        told = list(listener.notifies(timeout=60, stop_after=2))
    database.dispose()
    assert [notice.payload for notice in told] == ["tokens", "tokens"]


def test_the_set_up_code_makes_the_first_administrator_and_project_once(database: Database) -> None:
    first = FirstRun("ada@example.org", PASSWORD, "Ada")
    with database.write() as session:
        old = service.ensure_setup_code(session)
        code = service.ensure_setup_code(session)
    assert old
    assert code
    with database.read() as session:
        assert code not in str([row.value for row in session.exec(select(Setting))])
        assert not service.is_set_up(session)
    for wrong in (old, "", "guess"):
        with database.write() as session, pytest.raises(NotAllowedError) as caught:
            service.complete_setup(session, wrong, first, now=NOW)
        assert caught.value.field == "code"
    with database.write() as session:
        user = service.complete_setup(session, f" {code.upper()} ", first, now=NOW)
        assert user.role == Role.ADMIN
    with database.write() as session:
        assert service.is_set_up(session)
        assert service.ensure_setup_code(session) is None
        keys = [e.key for e in services.list_environments(session, "default")]
        assert keys == ["production", "staging"]
        with pytest.raises(StateError):
            service.complete_setup(session, code, first, now=NOW)


def test_a_set_up_that_fails_half_way_leaves_the_code_good(database: Database) -> None:
    with database.write() as session:
        code = service.ensure_setup_code(session) or ""
    bad = FirstRun("ada@example.org", PASSWORD, project_key="NOT A KEY")
    with pytest.raises(InvalidInputError), database.write() as session:
        service.complete_setup(session, code, bad, now=NOW)
    with database.write() as session:
        assert not service.is_set_up(session)
        service.complete_setup(session, code, FirstRun("ada@example.org", PASSWORD), now=NOW)


def test_processes_that_start_at_one_time_agree_on_the_signing_secret(database: Database) -> None:
    def ask(_: int) -> str:
        with database.write() as session:
            return signing_secret(session)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 1


def test_an_actor_is_named_so_that_namesakes_can_be_told_apart(database: Database) -> None:
    with database.write() as session:
        tokens = [
            service.create_token(
                session, TokenKind.USER, name="ci", role=Role.VIEWER, created_by="a", now=NOW
            )[1]
            for _ in range(2)
        ]
        actors = {service.Caller.of_token(token).actor for token in tokens}
    assert actors == {Actor("token", f"ci#{token.id}") for token in tokens}
    assert len(actors) == 2
