"""Discovery: metadata only until enabled, built-ins and plugins through one door."""

from __future__ import annotations

import sys

import pytest

from protonqa.analyses import registry
from protonqa.errors import PluginError

GOOD = """
from protonqa.analyses import AnalysisParams, Check, Commissioning, Input
class Good:
    name, title, version = "acme-good", "A good one", "2.1"
    inputs = (Input("ct", "Volume", title="a CT"),)
    class Params(AnalysisParams):
        level: float = 1.0
    def run(self, context): ...
    def commission(self, context): ...
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a distribution of one module; its metadata is a dist-info folder on the Python path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv(registry.ENABLE_VARIABLE, raising=False)

    def install_one(points, source=GOOD, *, name="acme-qa", version="1.2.0"):
        module = name.replace("-", "_")
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: What it is for\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
        lines = "\n".join(f"{point} = {target}" for point, target in points.items())
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}\n", encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
        return module

    yield install_one
    for name in [one for one in sys.modules if one.startswith("acme")]:
        del sys.modules[name]


def find(name, **options):
    return next(one for one in registry.listed_analyses(**options) if one.name == name)


def test_an_installed_plugin_is_listed_but_off_and_not_imported(install):
    module = install({"acme-good": "acme_qa:Good"}, "raise RuntimeError('code ran')")
    listed = find("acme-good")
    assert (listed.enabled, listed.built_in, listed.origin) == (False, False, "acme-qa 1.2.0")
    facts = registry.describe(listed)
    assert facts["title"] == "What it is for"
    assert module not in sys.modules
    with pytest.raises(PluginError, match=r"not enabled.*PROTONQA_PLUGINS=acme-qa==1\.2\.0"):
        registry.load_analysis("acme-good")
    assert module not in sys.modules


def test_enabled_by_name_and_version_it_loads(install, monkeypatch):
    install({"acme-good": "acme_qa:Good"})
    loaded = registry.load_analysis("acme-good", ["Acme_QA==1.2.0"])
    assert (loaded.analysis.title, loaded.origin) == ("A good one", "acme-qa 1.2.0")
    monkeypatch.setenv(registry.ENABLE_VARIABLE, "other==1, acme-qa==1.2.0")
    facts = registry.describe(find("acme-good"))
    assert facts["inputs"] == [{"name": "ct", "kind": "Volume", "optional": False, "title": "a CT", "many": False}]
    assert facts["parameters"]["properties"]["level"]["default"] == 1.0


def test_another_version_must_be_enabled_anew(install):
    install({"acme-good": "acme_qa:Good"})
    assert not find("acme-good", enabled=["acme-qa==1.1.0"]).enabled


def test_enabling_without_a_version_is_refused():
    with pytest.raises(PluginError, match="without its version"):
        registry.listed_analyses(["acme-qa"])


def test_a_plugin_cannot_pass_for_a_built_in(install):
    """Neither by its distribution's name alone, nor by pointing at protonqa's own module."""
    install({"acme-good": "protonqa.analyses.montecarlo:MonteCarlo"})
    assert not find("acme-good").built_in


def test_a_taken_name_goes_to_the_first_and_the_other_says_so(install):
    install({"acme-good": "acme_qa:Good"})
    install({"acme-good": "acme_two:Good"}, name="acme-two")
    enabled = ["acme-qa==1.2.0", "acme-two==1.2.0"]
    first, second = (one for one in registry.listed_analyses(enabled) if one.name == "acme-good")
    assert first.enabled
    assert (second.enabled, second.obstacle) == (False, "the name is taken by acme-qa 1.2.0")


def test_a_name_with_hostile_characters_is_never_usable(install):
    install({"../evil": "acme_qa:Good"})
    listed = find("../evil", enabled=["acme-qa==1.2.0"])
    assert listed.obstacle
    assert registry.describe(listed)["problem"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise RuntimeError('broken')", "cannot be imported, got RuntimeError"),
        ("import sys; sys.exit(3)", "cannot be imported, got SystemExit"),
        ("class Good: pass", "is not an analysis"),
        (GOOD.replace('"acme-good"', '"other"'), "the name 'other'"),
        (GOOD.replace("class Params(AnalysisParams)", "class Params"), "Params of another kind"),
        (GOOD.replace('(Input("ct", "Volume", title="a CT"),)', '["ct"]'), "inputs of another kind"),
        (GOOD.replace('"2.1"', "None"), "version is not text"),
    ],
)
def test_a_broken_plugin_is_a_clear_error_and_a_listed_problem(install, source, message):
    install({"acme-good": "acme_qa:Good"}, source)
    with pytest.raises(PluginError, match=message):
        registry.load_analysis("acme-good", ["acme-qa==1.2.0"])
    assert message in registry.describe(find("acme-good", enabled=["acme-qa==1.2.0"]))["problem"]


def test_what_a_plugin_prints_on_import_stays_off_standard_output(install, capsys):
    install({"acme-good": "acme_qa:Good"}, f"print('noise')\n{GOOD}")
    registry.load_analysis("acme-good", ["acme-qa==1.2.0"])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "noise\n")


def test_unknown_name_names_the_nearest(install):
    install({"acme-good": "acme_qa:Good"})
    with pytest.raises(PluginError, match="did you mean acme-good"):
        registry.load_analysis("acme-god")


def test_built_ins_come_through_the_same_door():
    """Needs protonqa installed as a package, as `make test` does."""
    names = {one.name for one in registry.listed_analyses([]) if one.built_in and one.enabled}
    if not names:
        pytest.skip("protonqa is not installed as a package here: its entry points are not visible")
    assert {"montecarlo", "range-verification"} <= names
