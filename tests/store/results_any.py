"""Any result that hypothesis can think of."""

from __future__ import annotations

from hypothesis import strategies as st

from protonqa.values import AnalysisResult, Finding, Measurement, Severity, State, Table

# Any text that JSON can carry, lone surrogates and NUL among it.
TEXTS = st.text(max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | NUMBERS | TEXTS


@st.composite
def measurements(draw: st.DrawFn) -> dict[str, Measurement]:
    """Some measurements by name."""
    made = {}
    for name in draw(st.lists(TEXTS, max_size=4, unique=True)):
        low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
        bounds = draw(st.sampled_from([(None, None), (low, high)]))
        made[name] = Measurement(
            name=name,
            value=draw(st.none() | NUMBERS),
            unit=draw(TEXTS),
            title=draw(TEXTS),
            low=bounds[0],
            high=bounds[1],
            confidence=draw(st.none() | st.floats(0.01, 0.99)),
        )
    return made


@st.composite
def any_result(draw: st.DrawFn, depth: int = 2) -> AnalysisResult:
    """A result of any state with any members and parts."""
    state = draw(st.sampled_from(list(State)))
    columns = draw(st.lists(TEXTS, min_size=1, max_size=3))
    row = st.tuples(*[PLAIN] * len(columns))
    return AnalysisResult(
        analysis=draw(TEXTS),
        version=draw(TEXTS),
        title=draw(TEXTS),
        state=state,
        reason=draw(TEXTS) or "why",
        measurements=draw(measurements()),
        findings=tuple(
            Finding(severity=draw(st.sampled_from(list(Severity))), code=draw(TEXTS), text=draw(TEXTS))
            for _ in range(draw(st.integers(0, 3)))
        ),
        tables=(
            Table(name="t", title=draw(TEXTS), columns=tuple(columns), rows=tuple(draw(st.lists(row, max_size=3)))),
        ),
        artefacts=draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
        provenance={
            "seed": draw(st.integers(0, 2**80)),
            "versions": draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
            "parameters": draw(st.dictionaries(TEXTS, PLAIN, max_size=3)),
            "device": draw(TEXTS),
            "started_utc": draw(TEXTS),
        },
        timings_s=draw(st.dictionaries(st.sampled_from(["run", "read"]), st.floats(0, 1e6), max_size=2)),
        parts=tuple(draw(any_result(depth - 1)) for _ in range(draw(st.integers(0, 2)))) if depth else (),
    )
