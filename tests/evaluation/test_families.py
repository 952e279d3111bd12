from __future__ import annotations

from pathlib import Path

import pytest

from aigdetect.errors import UsageError
from aigdetect.evaluation.families import FAMILIES, read_families

NAMES = {
    "GAN": "progan cyclegan biggan BigGAN stylegan gaugan stargan stylegan2 whichfaceisreal",
    "edited": "deepfake Deepfakes",
    "low-level vision": "seeingdark SITD san SAN",
    "perceptual loss": "crn imle",
    "diffusion": "guided ldm_100 ldm_200 ldm_200_cfg glide_100_10 glide_100_27 glide_50_27 ADM Glide GLIDE "
    "Midjourney stable_diffusion_v_1_4 stable_diffusion_v_1_5 sdv4 sdv5 VQDM wukong Wukong DALLE2 dalle-2",
    "autoregressive": "dalle DALL-E",
    "unknown": "something_new",
}


@pytest.mark.parametrize(("family", "name"), [(f, n) for f, names in NAMES.items() for n in names.split()])
def test_every_name_of_the_benchmarks_is_known(family: str, name: str) -> None:
    assert read_families().find(name).family == family


def test_spellings_of_one_generator_have_one_key() -> None:
    known = read_families()
    names = ("stable_diffusion_v_1_4", "Stable Diffusion V1.4", "sdv4", "SD 1.4")
    assert {known.find(name).key for name in names} == {"sd14"}
    assert known.find("DALLE2").key == "dalle2" != known.find("dalle").key
    assert known.find("stylegan2").key == "stylegan2" != known.find("stylegan").key


def test_an_unknown_generator_keeps_its_spelling() -> None:
    found = read_families().find("My_Gen 3")
    assert (found.key, found.title, found.family) == ("My_Gen 3", "My_Gen 3", "unknown")


def test_a_users_file_adds_and_overrides(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "generators:\n"
        "  mygen: {family: edited, title: My Gen, aliases: [my-gen v2]}\n"
        "  progan: {family: unknown}\n"
    )
    known = read_families(file)
    assert known.find("MyGen_V2").title == "My Gen"
    assert known.find("progan").family == "unknown"
    assert known.find("cyclegan").family == "GAN"
    assert read_families().find("progan").family == "GAN"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("generators: {x: {family: cubism}}", f"x: family 'cubism' is not one of {', '.join(FAMILIES)}"),
        ("generators: {x: {family: GAN, colour: red}}", "colour: unknown setting"),
        ("generators: {x: {title: X}}", "family: is missing"),
        ("- a\n- b\n", "no list of generators"),
        ("generators: {a-b: {family: GAN}, a_b: {family: GAN}}", "'ab' stands for both a-b and a_b"),
        (": : :", "not valid YAML"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_families(file)
    assert told in str(caught.value)
    assert str(caught.value).startswith("--families: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read"):
        read_families(tmp_path / "none.yaml")
