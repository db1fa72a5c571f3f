"""A cohort with planted defects: the doctor names every one of them, and computes nothing."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from histonic.app.cli import histonic
from histonic.core.errors import HistonicError, SettingsError
from histonic.core.task import Task
from histonic.data.tables.slide_lists import SlideRow
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.tile_heads import HEADS_FILE, save_heads
from histonic.nn.heads import Heads
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.compress.inspection import Inspected, inspect_slide
from histonic.stages.doctor.doctor import doctor
from histonic.stages.doctor.result import DoctorLine


def tissue(side: int = 640) -> np.ndarray:
    pixels = np.full((side, side, 3), 243, np.uint8)
    pixels[100:540, 100:540] = (195, 120, 175)
    return pixels


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for name in ("a", "b", "c"):
        write_pyramid(folder / f"{name}.tif", tissue(), mpp=0.5)
    return folder


def run(**values: object) -> list[DoctorLine]:
    return list(doctor(**values))


def test_good_slides_have_one_line_each(slides: Path) -> None:
    findings = run(slides=[slides])
    assert [finding.severity for finding in findings] == ["ok", "ok", "ok"]
    line = findings[0].line()
    for part in ("a.tif", "640x640 px", "0.5 µm/px", "header: TIFF resolution", "reader tiff", "tissue 4"):
        assert part in line


def test_heads_that_learned_from_enlarged_objects_are_told_of(slides: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = NicEncoder(EncoderSpec("mine", "nic", 128, 0.5, 4), NicNetwork(4))
    encoder.save(tmp_path / "e.safetensors")
    heads = Heads([Task("mitosis", "binary", ("m",), ("no", "yes"))], 4)
    save_heads(tmp_path / HEADS_FILE, heads.tasks, 4, heads.state_dict(), enlarged={"mitosis": 5.3})
    findings = run(slides=[slides / "a.tif"], encoder=str(tmp_path / "e.safetensors"))
    assert [each.severity for each in findings] == ["ok", "warning"]
    assert "'mitosis' learned from objects 5.3 times as large" in findings[1].text
    save_heads(tmp_path / HEADS_FILE, heads.tasks, 4, heads.state_dict())
    assert len(run(slides=[slides / "a.tif"], encoder=str(tmp_path / "e.safetensors"))) == 1


def test_bad_slides_are_named(slides: Path, tmp_path: Path) -> None:
    whole = (slides / "a.tif").read_bytes()
    (tmp_path / "torn.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.svs").write_text("This is no slide.")
    (tmp_path / "empty.svs").touch()
    write_pyramid(tmp_path / "glass.tif", np.full((500, 500, 3), 243, np.uint8), mpp=0.5)
    import tifffile

    options = {"tile": (256, 256), "photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "scale.tif", tissue(), **options)
    texts = {Path(finding.where).name: (finding.severity, finding.text) for finding in run(slides=[tmp_path])}
    assert set(texts) == {"torn.tif", "text.svs", "empty.svs", "glass.tif", "scale.tif"}
    assert all(severity == "error" for severity, _ in texts.values())
    assert "truncated" in texts["torn.tif"][1] or "damaged" in texts["torn.tif"][1]
    assert "No reader" in texts["text.svs"][1] and "empty" in texts["empty.svs"][1]
    assert "enough tissue" in texts["glass.tif"][1] and "--mpp" in texts["scale.tif"][1]
    assert all("\n" not in text for _, text in texts.values())


def test_slides_are_looked_at_side_by_side_and_told_in_order(
    slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        shutil.copy(slides / "a.tif", tmp_path / f"s{number}.tif")
    (tmp_path / "s3.tif").write_text("This is no slide.")
    monkeypatch.setattr("histonic.stages.doctor.doctor.usable_cores", lambda: 1)
    alone = run(slides=[tmp_path], encoder="colour")
    at_once = threading.Barrier(3, timeout=10)

    def looked_at(row: SlideRow, *more: object) -> Inspected:
        if row.slide_id in ("s0", "s1", "s2"):
            at_once.wait()
        return inspect_slide(row, *more)

    monkeypatch.setattr("histonic.stages.doctor.doctor.inspect_slide", looked_at)
    monkeypatch.setattr("histonic.stages.doctor.doctor.usable_cores", lambda: 3)
    assert run(slides=[tmp_path], encoder="colour") == alone
    assert [each.severity for each in alone] == ["ok"] * 3 + ["error"] + ["ok"] * 4


def test_the_doctor_says_what_compress_says(tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    slides.mkdir()
    write_pyramid(slides / "fine.tif", tissue(), mpp=0.5)
    write_pyramid(slides / "coarse.tif", tissue(), mpp=2.5)
    write_pyramid(slides / "glass.tif", np.full((500, 500, 3), 243, np.uint8), mpp=0.5)
    write_pyramid(slides / "masked.tif", tissue(), mpp=0.5)
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.full((30, 60), 255, np.uint8)).save(masks / "masked.png")
    settings = {"slides": [slides], "masks": masks, "encoder": "colour"}
    done = compress(**settings, out=tmp_path / "store")
    reasons = {Path(failure.path).name: failure.reason for failure in done.failures}
    assert set(reasons) == {"coarse.tif", "glass.tif", "masked.tif"} and done.done == ["fine"]
    lines = {Path(found.where).name: found for found in run(**settings)}
    assert {name for name, found in lines.items() if found.severity == "error"} == set(reasons)
    for name, reason in reasons.items():
        assert reason in lines[name].text


def test_the_doctor_allows_the_enlargement_that_compress_allows(tmp_path: Path) -> None:
    Image.fromarray(tissue()).save(tmp_path / "a.png")
    given = {"slides": [tmp_path / "a.png"], "mpp": 0.62, "encoder": "colour"}
    (refused,) = run(**given)
    assert refused.severity == "error" and refused.text.endswith("or allow it: --most-enlargement 1.24.")
    (allowed,) = run(**given, most_enlargement=1.24)
    assert allowed.severity == "ok" and "(enlarged 1.24 times)" in allowed.text


def test_the_doctor_sees_tiles_as_wide_as_compress_will(tmp_path: Path) -> None:
    Image.fromarray(tissue()).save(tmp_path / "a.png")
    given = {"slides": [tmp_path / "a.png"], "mpp": 0.5, "encoder": "colour", "tile_um": 32.0}
    (refused,) = run(**given)
    assert refused.severity == "error" and "enlarged 2 times" in refused.text
    assert run(**given, most_enlargement=2.0)[0].severity == "ok"


def test_the_doctor_knows_equal_names_by_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_pyramid(tmp_path / folder / "1.tif", tissue(), mpp=0.5)
    (tmp_path / "labels.csv").write_text("patient_id,slide_id,y\nP,a/1.tif,yes\nQ,b/1.tif,no\n")
    given = {"slides": [tmp_path / "a", tmp_path / "b"], "encoder": "colour"}
    with pytest.raises(HistonicError, match="Two files have this name"):
        run(**given, names="path")
    given["slides"] = [tmp_path]
    found = run(**given, names="path", labels=tmp_path / "labels.csv", target=["y"])
    assert [each.severity for each in found][:2] == ["ok", "ok"]
    assert not any("without a" in each.text or "No label fits" in each.text for each in found)


def test_the_doctor_finds_masks_where_compress_finds_them(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for folder in ("a", "b"):
        write_pyramid(tmp_path / "slides" / folder / "1.tif", tissue(), mpp=0.5)
        (masks / folder).mkdir(parents=True)
    Image.fromarray(np.full(tissue().shape[:2], 255, np.uint8)).save(masks / "a" / "1.png")
    given = {"slides": [tmp_path / "slides"], "encoder": "colour", "masks": masks, "names": "path"}
    found = {Path(each.where).parent.name: each for each in run(**given, tissue="masks")}
    assert found["a"].severity == "ok" and "tissue 100 % of the slide" in found["a"].text
    assert found["b"].severity == "error" and f"{masks} holds no b/1 nor b__1" in found["b"].text
    with pytest.raises(HistonicError, match="--tissue all"):
        run(**given, tissue="all")


def test_the_doctor_asks_for_the_encoder(slides: Path) -> None:
    with pytest.raises(HistonicError, match="colours"):
        run(slides=[slides], encoder="colours")


@pytest.mark.parametrize(
    ("table", "targets", "words"),
    [
        ("patient_id,slide_id,grade\n1,a,x\n2,b,y\n", ["grade"], "c"),  # slide without a row
        ("patient_id,slide_id,grade\n1,a,x\n2,b,y\n3,c,x\n4,d,y\n", ["grade"], "d"),  # row without a slide
        ("patient_id,slide_id,grade\n1,a,x\n2,a,y\n3,b,x\n4,c,x\n", ["grade"], "a"),  # slide of two patients
        ("patient_id,slide_id,grade\n1,a,x\n1,b,y\n3,c,x\n", ["grade"], "1"),  # patient with two labels
        ("patient_id,slide_id,grade\n1,a,x\n2,b,y\n3,c,x\n", ["grad"], "'grade'"),  # unknown column
        (
            "patient_id,slide_id,t,censorship\n1,a,3,0\n2,b,4,1\n3,c,5,0\n",
            ["os:survival:t,censorship"],
            "censor",
        ),
        ("patient_id,slide_id,t,e\n1,a,-3,0\n2,b,4,1\n3,c,5,0\n", ["os:survival:t,e"], "-3"),
        ("patient_id,slide_id,t,e\n1,a,long,0\n2,b,4,1\n3,c,5,0\n", ["os:survival:t,e"], "long"),
        ("patient_id,slide_id,grade\n1,a,x\n2,b,x\n3,c,x\n", ["grade:binary"], "class"),
        ("patient_id,slide_id,grade,fold\n1,a,x,0\n1,b,x,1\n3,c,y,2\n", ["grade"], "1"),  # two folds
    ],
)
def test_problems_in_the_table_are_named(
    slides: Path, tmp_path: Path, table: str, targets: list[str], words: str
) -> None:
    (tmp_path / "labels.csv").write_text(table)
    findings = run(slides=[slides], labels=tmp_path / "labels.csv", target=targets)
    problems = [finding.line() for finding in findings if finding.severity != "ok"]
    assert problems and any(words in line for line in problems), problems


@pytest.mark.parametrize("target", ["grade", "grade:multiclass:grade", "age:regression:age"])
@pytest.mark.parametrize("rows", ["1,x1,x,50\n2,x2,y,60\n3,x3,x,70\n", "1,a,,\n2,b,,\n3,c,,\n"])
def test_a_table_of_which_no_label_is_known_is_told_of(
    slides: Path, tmp_path: Path, rows: str, target: str
) -> None:
    (tmp_path / "labels.csv").write_text(f"patient_id,slide_id,grade,age\n{rows}")
    findings = run(slides=[slides], labels=tmp_path / "labels.csv", target=[target])
    assert [each for each in findings if each.severity == "error" and "labels.csv" in each.where], findings


def test_how_the_labels_of_each_target_are_taken_is_said(slides: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("patient_id,slide_id,er,arm\n1,a,ER+,left\n2,b,ER-,right\n3,c,ER+,left\n")
    lines = [each.line() for each in run(slides=[slides], labels=table, target=["er", "arm:binary:arm"])]
    assert f"ok       {table}, target 'er'  positive class: ER+; the other: ER-" in lines
    assert any(
        line.startswith("warning") and "--target arm:binary:arm:positive=left" in line for line in lines
    )


def test_nothing_given_is_an_error() -> None:
    with pytest.raises(SettingsError, match="Neither"):
        run()


def test_exit_codes(slides: Path, tmp_path: Path) -> None:
    good = CliRunner().invoke(histonic, ["doctor", str(slides / "a.tif")])
    assert good.exit_code == 0 and "1 ok, 0 warning(s), 0 error(s)" in good.output
    (tmp_path / "text.svs").write_text("x")
    bad = CliRunner().invoke(histonic, ["doctor", str(slides / "a.tif"), str(tmp_path / "text.svs")])
    assert bad.exit_code == 1 and "1 ok, 0 warning(s), 1 error(s)" in bad.output


def test_shares_that_stand_out_are_warnings_and_the_exit_code_stays(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    shares = {"s0": 40, "s1": 50, "s2": 45, "s3": 50, "tinted": 100, "little": 7}
    for name, rows in shares.items():
        write_pyramid(tmp_path / "slides" / f"{name}.tif", tissue(), mpp=0.5)
        mask = np.zeros((100, 100), np.uint8)
        mask[:rows] = 255
        Image.fromarray(mask).save(masks / f"{name}.png")
    result = CliRunner().invoke(histonic, ["doctor", str(tmp_path / "slides"), "--masks", str(masks)])
    warnings = [line for line in result.output.splitlines() if line.startswith("warning")]
    assert result.exit_code == 0 and "6 ok, 2 warning(s), 0 error(s)" in result.output
    neighbours = "where the median of 6 fields or cores is 48 %"
    assert "little.tif  far less tissue than its neighbours: 7.0 % of the slide, " + neighbours in warnings[0]
    assert "tinted.tif  all of it is tissue, unlike its neighbours: 100 % of the slide" in warnings[1]


def test_a_preview_of_one_slide_of_several_and_one_each(slides: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    one = runner.invoke(histonic, ["doctor", str(slides / "a.tif"), "--preview", str(tmp_path / "a.png")])
    assert one.exit_code == 0 and f"{tmp_path / 'a.png'}  1 slide drawn" in one.output
    (tmp_path / "torn.svs").write_bytes(b"II*\0")
    given = [str(slides), str(tmp_path / "torn.svs")]
    sheet = runner.invoke(histonic, ["doctor", *given, "--preview", str(tmp_path / "sheet.png")])
    assert sheet.exit_code == 1 and "3 slides drawn, 1 could not be read" in sheet.output
    folder = tmp_path / "new" / "previews"
    assert runner.invoke(histonic, ["doctor", *given, "--preview", str(folder)]).exit_code == 1
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png", "c.png"]
    with Image.open(tmp_path / "a.png") as alone, Image.open(folder / "a.png") as among:
        assert (np.asarray(alone) == np.asarray(among)).all()
    only = runner.invoke(histonic, ["doctor", given[1], "--preview", str(tmp_path / "none.png")])
    assert "nothing was written" in only.output and not (tmp_path / "none.png").exists()


def test_a_preview_never_takes_the_place_of_a_slide_nor_lies_among_pictures(tmp_path: Path) -> None:
    fields = tmp_path / "fields"
    fields.mkdir()
    Image.fromarray(tissue()).save(fields / "a.png")
    before = (fields / "a.png").read_bytes()
    for given, preview, found in (
        (fields / "a.png", fields / "a.png", "one of the slides"),
        (fields / "a.png", fields, "a.png lies there"),
        (fields, fields / "out.png", "among the slides"),
        (fields, fields / "inner", "among the slides"),
        (fields, tmp_path / "out.pdf", "a .pdf file"),
    ):
        with pytest.raises(SettingsError, match=found):
            run(slides=[given], mpp=0.5, preview=preview)
    assert (fields / "a.png").read_bytes() == before
    assert [path.name for path in fields.iterdir()] == ["a.png"]
    (tmp_path / "wsi").mkdir()
    write_pyramid(tmp_path / "wsi" / "a.tif", tissue(), mpp=0.5)
    run(slides=[tmp_path / "wsi"], preview=tmp_path / "wsi" / "out.png")
    assert [each.where for each in run(slides=[tmp_path / "wsi"])] == [str(tmp_path / "wsi" / "a.tif")]


def test_a_sheet_has_room_for_so_many(slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("histonic.stages.doctor.previews.MOST_ON_SHEET", 2)
    with pytest.raises(SettingsError, match="3 slides do not fit on one sheet of 2"):
        run(slides=[slides], preview=tmp_path / "sheet.png")
    with pytest.raises(SettingsError, match="No slide was given"):
        run(labels=tmp_path / "labels.csv", preview=tmp_path / "sheet.png")


def test_events_for_each_coefficient_of_clinical_columns_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        f"P{number:02d},{rng.exponential(20):.1f},{number % 3 == 0:d},{rng.normal(60, 9):.0f},"
        f"{['I', 'II', 'III'][number % 3 if number % 7 else 1]},{['a', 'b'][number % 2]}"
        for number in range(60)
    ]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["patient_id,months,event,age,stage,grade", *rows]) + "\n")
    target = ["os:survival:months,event", "grade:binary"]
    found = run(labels=table, target=target, clinical=["age", "stage"])
    said = [line for line in found if "clinical columns" in line.where]
    assert [line.severity for line in said] == ["warning"]
    assert "target 'os'" in said[0].where
    assert "4 coefficients for 20 events in 60 patients: 5.0 events each" in said[0].text
    enough = [line for line in run(labels=table, target=target, clinical="age") if "clinical" in line.where]
    assert [line.severity for line in enough] == ["ok"] and "10.0 events each" in enough[0].text
    absent = [line for line in run(labels=table, target=target, clinical="stag") if "clinical" in line.where]
    assert [line.severity for line in absent] == ["error"] and "'stage'" in absent[0].text
    assert not [line for line in run(labels=table, target=target) if "clinical" in line.where]
