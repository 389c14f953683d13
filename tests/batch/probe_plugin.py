"""An analysis for the tests of batches: what it does stands in the text of the case. Copied into a site of its own."""

import os
import signal
import sys
import time

from pydantic import Field

from protonqa.analyses import AnalysisParams, Check, Commissioning, Input
from protonqa.errors import NotEvaluableError
from protonqa.values import AnalysisResult, Finding, Measurement, Severity, State, TextDocument


class ProbeParams(AnalysisParams):
    factor: float = Field(2.0, gt=0, le=100, title="Factor", json_schema_extra={"unit": "mm"})
    sleep_s: float = Field(0.0, ge=0, title="Pause", json_schema_extra={"unit": "s"})


class Probe:
    name, title, version = "probe", "A probe", "1.0"
    inputs = (Input("text", TextDocument, title="what to do"),)
    Params = ProbeParams
    deadline_s = 60.0

    def run(self, context):
        word = context.input("text", TextDocument).text.split()[0]
        time.sleep(context.params.sleep_s)
        context.progress(1, 2, "half")
        if word in MISDEEDS:
            return MISDEEDS[word](context)
        value = context.params.factor * len(word) + context.rng().random()
        number = Measurement(name="length", value=value, unit="mm", low=value - 1, high=value + 1)
        state = State.FAIL if word == "fails" else State.PASS
        found = (Finding(severity=Severity.WARNING, code="PROBED", text="A probe was taken."),)
        if context.out is not None:
            (context.out / "word.txt").write_text(word)
        return AnalysisResult(
            analysis=self.name,
            version=self.version,
            title=self.title,
            state=state,
            measurements={"length": number},
            findings=found,
            artefacts={"word.txt": "the word"} if context.out is not None else {},
        )

    def commission(self, context):
        if os.environ.get("PROBE_ACCEPTANCE") == "dies":
            _dies(context)
        return Commissioning(checks=(Check(name="length", value=5.0, unit="mm", limit=5.0),))


def _raises(context):
    raise ValueError("CANARY^JANE")


def _hangs(context):
    while True:
        time.sleep(3600)


def _nan(context):
    number = Measurement(name="length", value=1.0, unit="mm")
    object.__setattr__(number, "value", float("nan"))
    return AnalysisResult(analysis="probe", version="1.0", state=State.PASS, measurements={"length": number})


def _exits(context):
    sys.exit(0)


def _hog(context):
    held = []
    while True:
        held.append(bytearray(2**30))


def _schema(context):
    return {"state": "PASS"}


def _dies(context):
    os.kill(os.getpid(), signal.SIGKILL)


def _evidence(context):
    raise NotEvaluableError("no evidence in the text")


MISDEEDS = {
    "raises": _raises,
    "hangs": _hangs,
    "nan": _nan,
    "exits": _exits,
    "hog": _hog,
    "schema": _schema,
    "dies": _dies,
    "evidence": _evidence,
}
