"""Which role somebody has where: the most specific word wins.

A role may be said for everything, for a project, and for an environment within it. That of an
environment stands in place of that of its project, higher or lower; that of a project in place of
the one for everything. Only ``admin`` for everything cannot be taken back anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from web.auth.roles import Role


@dataclass(frozen=True)
class Rights:
    """The roles of one caller.

    Attributes
    ----------
    everywhere : Role
        Where nothing more specific is said.
    projects : mapping
        By the project's id.
    environments : mapping
        By the environment's id: its project's id, and the role.
    """

    everywhere: Role
    projects: Mapping[int, Role] = field(default_factory=dict)
    environments: Mapping[int, tuple[int, Role]] = field(default_factory=dict)

    def in_environment(self, project_id: int, environment_id: int) -> Role:
        """Return the role in one environment."""
        if self.everywhere is Role.ADMIN:
            return Role.ADMIN
        if environment_id in self.environments:
            return self.environments[environment_id][1]
        return self.projects.get(project_id, self.everywhere)

    def in_project(self, project_id: int) -> Role:
        """Return the role for what belongs to the project and to none of its environments.

        Who has a role in one of its environments only may read what the project is.
        """
        if self.everywhere is Role.ADMIN:
            return Role.ADMIN
        said = self.projects.get(project_id, self.everywhere)
        if said is Role.NONE and any(self._in(project_id)):
            return Role.VIEWER
        return said

    def highest_in(self, project_id: int) -> Role:
        """Return the highest role that the caller has anywhere in the project."""
        return max([self.in_project(project_id), *self._in(project_id)], key=lambda role: role.rank)

    @property
    def may_hide(self) -> bool:
        """Whether there may be an environment, in a project that is seen, that is not seen."""
        return self.everywhere is not Role.ADMIN and any(
            role is Role.NONE or self.projects.get(project_id, self.everywhere) is Role.NONE
            for project_id, role in self.environments.values()
        )

    def hidden(self, environments: Iterable[tuple[int, int]]) -> frozenset[int]:
        """Return which of the environments (project's id, own id) the caller may not know of."""
        return frozenset(
            own for project, own in environments if self.in_environment(project, own) is Role.NONE
        )

    def _in(self, project_id: int) -> list[Role]:
        return [
            role
            for project, role in self.environments.values()
            if project == project_id and role is not Role.NONE
        ]
