"""A measured figure, beside what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    Attributes:
        what: What was measured.
        ratio: The figure.
        aim: It should be at most this.
        detail: The two numbers behind it.
    """

    what: str
    ratio: float
    aim: float
    detail: str

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.ratio <= self.aim

    def __str__(self) -> str:
        verdict = "ok  " if self.met else "OVER"
        return f"{verdict} {self.what:<74} {self.ratio:8.2f}  (aim: at most {self.aim:g})  {self.detail}"
