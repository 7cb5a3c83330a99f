"""The door to people, sessions and keys; nothing here knows of Flask."""

from web.auth.caller import Caller
from web.auth.login import (
    SESSION_LIFETIME,
    authenticate,
    end_session,
    find_session,
    start_session,
)
from web.auth.members import Member, get_member, list_members, remove_role, set_role
from web.auth.ofrep_callers import OfrepCaller, ofrep_callers
from web.auth.people import create_user, find_user, get_user, list_users, update_user
from web.auth.roles import Role, parse_role
from web.auth.setup import FirstRun, complete_setup, ensure_setup_code, is_set_up
from web.auth.tokens import (
    MOST_OVERLAP,
    TokenKind,
    create_token,
    edit_token,
    find_token,
    get_token,
    hash_token,
    is_live,
    last_used_key,
    list_tokens,
    lock_token,
    person_behind,
    revoke_token,
    rotate_token,
    token_budgets,
)

__all__ = [
    "MOST_OVERLAP",
    "SESSION_LIFETIME",
    "Caller",
    "FirstRun",
    "Member",
    "OfrepCaller",
    "Role",
    "TokenKind",
    "authenticate",
    "complete_setup",
    "create_token",
    "create_user",
    "edit_token",
    "end_session",
    "ensure_setup_code",
    "find_session",
    "find_token",
    "find_user",
    "get_member",
    "get_token",
    "get_user",
    "hash_token",
    "is_live",
    "is_set_up",
    "last_used_key",
    "list_members",
    "list_tokens",
    "list_users",
    "lock_token",
    "ofrep_callers",
    "parse_role",
    "person_behind",
    "remove_role",
    "revoke_token",
    "rotate_token",
    "set_role",
    "start_session",
    "token_budgets",
    "update_user",
]
