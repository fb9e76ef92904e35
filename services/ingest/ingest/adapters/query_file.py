"""The query file of a pull, as JSON: strict at the edge, so that a key that is mistyped pulls nothing.

An error names the place, never what stands there: that may be a patient.
"""

import dataclasses
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ingest.domain.modalities import TERMS
from ingest.domain.pulls import Order, Query, Throttle, Way, Window, window_of
from radloop.errors import Invalid

MOST_VALUES = 100_000
Exact = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^*?\\\x00-\x1f]+$")]
"""A value that is matched whole: no wild card, no second value (PS3.5 section 6.2: LO, SH)."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class _Dates(_Part):
    first: date | None = None
    last: date | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "_Dates":
        if self.first and self.last and self.first > self.last:
            raise ValueError("first not after last")
        if not (self.first or self.last):
            raise ValueError("first, last or both, as 2019-12-31")
        return self


class _Query(_Part):
    modality: str = ""
    study_date: _Dates | None = None
    study_description: str = Field(default="", max_length=64, pattern=r"^[^\\\x00-\x1f]*$")
    body_part: str = Field(default="", max_length=16, pattern=r"^[A-Z0-9 _]*$")
    patient_ids: list[Exact] = Field(default=[], max_length=MOST_VALUES)
    accession_numbers: list[Annotated[Exact, Field(max_length=16)]] = Field(default=[], max_length=MOST_VALUES)
    at_most: int | None = Field(default=None, ge=1)

    @field_validator("modality")
    @classmethod
    def _term(cls, text: str) -> str:
        if text and text not in TERMS:
            raise ValueError("a defined term of Modality (PS3.3 C.7.3.1.1.1), e.g. CT")
        return text

    @model_validator(mode="after")
    def _has_an_end(self) -> "_Query":
        if not (self.study_date or self.patient_ids or self.accession_numbers):
            raise ValueError("study_date, patient_ids or accession_numbers: all of an archive is no cohort")
        return self

    def query(self) -> Query:
        dates = self.study_date or _Dates.model_construct(first=None, last=None)
        return Query(
            modality=self.modality,
            dates=(_day(dates.first), _day(dates.last)),
            study_description=self.study_description,
            body_part=self.body_part,
            patient_ids=tuple(dict.fromkeys(self.patient_ids)),
            accession_numbers=tuple(dict.fromkeys(self.accession_numbers)),
            at_most=self.at_most,
        )


class _Throttle(_Part):
    studies_per_hour: float | None = Field(default=None, gt=0)
    instances_per_second: float | None = Field(default=None, gt=0)


class _Order(_Part):
    archive: str = Field(min_length=1, max_length=100)
    project: str = Field(min_length=1, max_length=100)
    purpose: str = Field(min_length=1, max_length=500)
    way: Way
    queries: list[_Query] = Field(min_length=1, max_length=100)
    priors: int = Field(default=0, ge=0, le=100)
    throttle: _Throttle = _Throttle()
    window: str = ""

    @field_validator("window")
    @classmethod
    def _hours(cls, text: str) -> str:
        if text:
            try:
                window_of(text)
            except Invalid as error:
                raise ValueError(error.expected) from error
        return text


def order_of(given: Any) -> Order:
    """Read a query file.

    Raises
    ------
    Invalid
        ``query-file``: a key is unknown or missing, or a value is none it may have.
    """
    try:
        asked = _Order.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        raise Invalid(
            "query-file",
            expected="keys that a query file has" if unknown else first["msg"].removeprefix("Value error, "),
            got=f"the key {place[:100]}" if unknown else f"something else in {place or 'the file'}",
            do="mend the query file; what it may hold: docs/operate/connect-pacs.md",
        ) from error
    return Order(
        archive=asked.archive,
        project_id=asked.project,
        purpose=asked.purpose,
        way=asked.way,
        queries=tuple(query.query() for query in asked.queries),
        priors=asked.priors,
        throttle=Throttle(asked.throttle.studies_per_hour, asked.throttle.instances_per_second),
        window=window_of(asked.window) if asked.window else None,
    )


def order_to_fields(order: Order) -> dict[str, Any]:
    """Write an order as a JSON object, for the vault."""
    fields = dataclasses.asdict(order)
    if order.window is not None:
        fields["window"] = f"{order.window.start:%H:%M}-{order.window.end:%H:%M}"
    return fields


def order_from_fields(fields: dict[str, Any]) -> Order:
    """Read what `order_to_fields` wrote."""
    window: Window | None = window_of(fields["window"]) if fields["window"] else None
    queries = tuple(
        Query(**{name: tuple(value) if isinstance(value, list) else value for name, value in each.items()})
        for each in fields["queries"]
    )
    rest = {"way": Way(fields["way"]), "throttle": Throttle(**fields["throttle"])}
    return Order(**fields | rest | {"queries": queries, "window": window})


def _day(day: date | None) -> str:
    return "" if day is None else f"{day:%Y%m%d}"
