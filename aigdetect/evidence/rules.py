"""Rules: which marks in the metadata of a file say that a generative model made or changed its image.

A new generator is one row here and one fixture in the tests. Each row names a public source for its mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from aigdetect.evidence.fields import Field
from aigdetect.evidence.findings import MAX_TEXT, Finding, Kind, Says, clip

_ROOT = "https://raw.githubusercontent.com/wiltodelta/remove-ai-watermarks"
_SURVEY = f"{_ROOT}/f52e40ae245db73600c2cbbf9214e6a597d36598/docs/watermarking-landscape.md"
_MADE_WITH = r"(?:(?:made|created|generated) (?:with|by) )?"
_PAST_LETTERS = r"(?![^\W\d_])"  # where a name ends: there is no "leonardo ai" in "Leonardo Aiello"
_VERSION = r"(?:[ v._-]{0,3}\d[\w. ]{0,20})?\s*"


@dataclass(frozen=True)
class Name:
    """A program or service that works with generative models, by the name with which it signs.

    Attributes:
        tool: its name, as people call it.
        pattern: a regular expression for the beginning of what it writes, without regard to case.
        source: where its name is publicly documented.
        since: the year in which it appeared.
        says: what it says of an image that this program is named as its maker.
        person: whether the name can also stand for a person or a company, which may well be the author of a
            photograph, so that it counts only where programs and devices are named.
    """

    tool: str
    pattern: str
    source: str
    since: int
    says: Says = Says.GENERATED
    person: bool = False

    @cached_property
    def start(self) -> re.Pattern[str]:
        """Matches where a field that names a program begins with this one."""
        return re.compile(rf"{_MADE_WITH}(?:{self.pattern}){_PAST_LETTERS}", re.IGNORECASE)

    @cached_property
    def alone(self) -> re.Pattern[str]:
        """Matches a field that holds this name, perhaps with a version, and nothing else."""
        return re.compile(rf"{_MADE_WITH}(?:{self.pattern}){_VERSION}", re.IGNORECASE)


# Only names that nothing else goes by: "Gemini", "Imagen", "Flux", "Firefly" and "Sora" alone
# also name others.
NAMES = (
    # what the programs of Black Forest Labs write as the software: "AI generated;txt2img;flux"
    Name(
        "FLUX",
        r"ai generated|black forest labs|flux\.?[12]\b",
        "https://github.com/black-forest-labs/flux/blob/main/src/flux/util.py",
        2024,
    ),
    Name(
        "Amazon Titan and Nova",
        r"amazon (?:titan image generator|nova canvas)",
        "https://docs.aws.amazon.com/bedrock/latest/userguide/titan-image-models.html",
        2023,
    ),
    Name(
        "Stable Diffusion",
        r"automatic1111|stable[- ]diffusion|sd[- ]?webui",
        "https://github.com/AUTOMATIC1111/stable-diffusion-webui",
        2022,
    ),
    Name(
        "Stability AI", r"stability ai|stable image|dreamstudio", "https://platform.stability.ai/docs", 2022
    ),
    Name(
        "Bing Image Creator",
        r"bing image creator|image creator from (?:microsoft )?designer|microsoft[_ ]responsible[_ ]ai",
        "https://www.microsoft.com/en-us/bing/do-more-with-ai/image-creator-from-microsoft-designer",
        2023,
    ),
    # its designs may hold photographs, and may be generated: it says of none which
    Name(
        "Microsoft Designer",
        r"microsoft designer",
        "https://create.microsoft.com/en-us/learn/articles/designer-content-credentials",
        2023,
        Says.POSSIBLY,
    ),
    # the model behind Bing's; with its number, as people may be called Mai
    Name("MAI-Image", r"mai-image-\d[\w.-]*", _SURVEY, 2025),
    Name("ComfyUI", r"comfyui", "https://github.com/comfyanonymous/ComfyUI", 2023),
    Name("SwarmUI", r"swarmui|stableswarmui", "https://github.com/mcmonkeyprojects/SwarmUI", 2023),
    Name("InvokeAI", r"invokeai", "https://github.com/invoke-ai/InvokeAI", 2022),
    Name("NovelAI", r"novelai", "https://github.com/NovelAI/novelai-image-metadata", 2022),
    Name("Fooocus", r"(?:ruined ?)?fooocus", "https://github.com/lllyasviel/Fooocus", 2023),
    Name("Draw Things", r"draw things", "https://docs.drawthings.ai", 2022),
    Name(
        "DiffusionBee",
        r"diffusionbee",
        "https://github.com/divamgupta/diffusionbee-stable-diffusion-ui",
        2022,
    ),
    Name("Easy Diffusion", r"easy diffusion", "https://github.com/easydiffusion/easydiffusion", 2022),
    Name("Craiyon", r"craiyon", "https://www.craiyon.com", 2022),
    # as a maker of cameras: "Ideogram AI"; the word alone names signs, and those who draw them
    Name("Ideogram", r"ideogram(?: ai|\.ai|[ -]v?\d)", _SURVEY, 2023),
    Name("NightCafe", r"nightcafe", "https://creator.nightcafe.studio", 2019, person=True),
    # takes backgrounds from photographs and enlarges them, too
    Name(
        "Recraft", r"recraft(?: ai| v\d|\s*\Z)", "https://www.recraft.ai/llms.txt", 2023, Says.POSSIBLY, True
    ),
    Name("Reve", r"reve\.com", _SURVEY, 2025),
    Name("StarryAI", r"starryai", "https://starryai.com", 2021),
    Name("Tensor.Art", r"tensor\.?art", "https://tensor.art", 2023),
    Name(
        "SeaArt",
        r"seaart(?:\.ai| ai|\s*\Z)",
        "https://cloud.seaart.ai/docs/api-reference/model-api/openai/gpt-image-1",
        2023,
        person=True,
    ),
    Name("PixAI", r"pixai(?:\.art|\s*\Z)", "https://huggingface.co/p-external", 2023, person=True),
    Name("Dreamina", r"dreamina|jimeng|即梦(?:ai)?", _SURVEY, 2024, person=True),
    Name("Seedream", r"(?:bytedance |doubao[- ])?seedream", "https://arxiv.org/abs/2503.07703", 2025),
    # an assistant that also edits and passes on what it did not generate
    Name("Doubao", r"doubao|豆包", _SURVEY, 2024, Says.POSSIBLY, person=True),
    Name(
        "Kling",
        r"kling ?ai|可灵(?:ai)?",
        "https://zenn.dev/taku_sid/articles/20250416_kelings_ai",
        2024,
        person=True,
    ),
    # "Qwen" and "Hunyuan" alone name language models, and what describes images by them
    Name("Qwen-Image", r"qwen[- ]image", "https://github.com/QwenLM/Qwen-Image", 2025),
    Name(
        "Hunyuan",
        r"(?:tencent )?hunyuan[- ]?(?:image|dit)",
        "https://github.com/Tencent-Hunyuan/HunyuanDiT",
        2024,
    ),
    Name("Krea", r"krea ai", "https://docs.krea.ai", 2023),
    Name("Playground", r"playground ai", "https://playground.com", 2022),
    Name(
        "DALL-E",
        r"dall[-·. ]e\b|dalle[- ]?[23]\b",
        "https://platform.openai.com/docs/guides/image-generation",
        2022,
    ),
    Name("dalle", r"dalle\b", "https://platform.openai.com/docs/guides/image-generation", 2022, person=True),
    Name(
        "OpenAI",
        r"openai",
        "https://help.openai.com/en/articles/8912793-c2pa-in-chatgpt-images",
        2022,
        person=True,
    ),
    Name(
        "ChatGPT",
        r"gpt[- ]image|gpt-4o\b|chatgpt|sora by openai",
        "https://help.openai.com/en/articles/8912793-c2pa-in-chatgpt-images",
        2024,
    ),
    Name(
        "Adobe Firefly",
        r"adobe[ _]firefly|firefly image",
        "https://helpx.adobe.com/firefly/get-set-up/learn-the-basics/content-credentials-overview.html",
        2023,
    ),
    Name(
        "Getty Images",
        r"generative ai by getty images",
        "https://www.gettyimages.com/ai/generation/about",
        2023,
    ),
    Name(
        "Google",
        r"google generative ai|google imagen|imagen [234]\b|google gemini|nano banana",
        "https://ai.google.dev/gemini-api/docs/image-generation",
        2023,
    ),
    # "Grok" and "xAI" with nothing behind: there are other programs whose names begin so
    Name(
        "Grok",
        r"grok (?:image|imagine|\d)|xai (?:grok|aurora)|(?:grok|xai)\s*\Z",
        "https://docs.x.ai/docs/guides/image-generations",
        2024,
        person=True,
    ),
    Name(
        "Meta AI",
        r"imagine with meta ai|meta ai\b",
        "https://about.fb.com/news/2024/02/labeling-ai-generated-images-on-facebook-instagram-and-threads",
        2023,
    ),
    Name("Leonardo", r"leonardo\.?\s?ai", "https://docs.leonardo.ai", 2022, person=True),
    Name("Midjourney", r"midjourney", "https://docs.midjourney.com", 2022),
    Name(
        "Apple Image Playground",
        r"apple image playground",
        "https://rightstech.com/2024/06/how-apple-plans-to-label-ai-generated-images",
        2024,
    ),
    Name(
        "Adobe Photoshop, generative",
        r"(?:adobe )?(?:photoshop )?generative (?:fill|expand)",
        "https://helpx.adobe.com/photoshop/using/generative-fill.html",
        2023,
        Says.EDITED,
    ),
    Name(
        "Magic Editor",
        r"magic editor",
        "https://support.google.com/photos/answer/14144912",
        2023,
        Says.EDITED,
    ),
)


@dataclass(frozen=True)
class Credit:
    """A credit line that services of generative AI write word for word.

    Attributes:
        text: the line, in lower case and without the stop at its end.
        says: what it says of the image.
        source: where it is publicly documented.
        since: the year in which it appeared.
    """

    text: str
    says: Says
    source: str
    since: int


_PHOTOS = "https://support.google.com/photos/answer/15574785"
_TEARDOWN = "https://fornaywork.com/google-photos-could-soon-tell-you-if-an-image-is-ai-generated"
_META = (
    "https://about.fb.com/news/2024/04/metas-approach-to-labeling-ai-generated-content-and-manipulated-media/"
)

CREDITS = (
    Credit("made with google ai", Says.GENERATED, _PHOTOS, 2024),
    Credit("edited with google ai", Says.EDITED, _PHOTOS, 2024),
    # found in an editor of photographs: of an image that is a photograph no more than that is sure
    Credit("ai-generated with google", Says.EDITED, _TEARDOWN, 2024),
    Credit("ai-generated with google photos", Says.EDITED, _TEARDOWN, 2024),
    Credit("made with ai", Says.GENERATED, _META, 2024),
    Credit("imagined with ai", Says.GENERATED, _META, 2023),
    Credit(
        "apple photos clean up",
        Says.EDITED,
        "https://malwr4n6.com/post/apple-intelligence-photo-forensics",
        2024,
    ),
    Credit(
        "apple image playground",
        Says.GENERATED,
        "https://rightstech.com/2024/06/how-apple-plans-to-label-ai-generated-images",
        2024,
    ),
)


@dataclass(frozen=True)
class Mark:
    """A mark in one field, perhaps along with another beside it in the same place of the file.

    Attributes:
        tool: the program or service that writes it.
        claim: what it claims, in words.
        fields: the fields in which it counts, as group and name.
        pattern: a regular expression for the beginning of the field's text.
        source: where it is publicly documented.
        since: the year in which it appeared.
        says: what it says of the image.
        beside: a second field, as group and name, and a regular expression for all of its text.
    """

    tool: str
    claim: str
    fields: tuple[str, ...]
    pattern: str
    source: str
    since: int
    says: Says = Says.GENERATED
    beside: tuple[str, str] | None = None

    @cached_property
    def start(self) -> re.Pattern[str]:
        """Matches the text of a field that bears the mark."""
        return re.compile(self.pattern, re.DOTALL)


_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_COMMENTS = ("EXIF UserComment", "EXIF ImageDescription", "XMP exif:UserComment", "text Comment")

MARKS = (
    Mark(
        "Grok",
        "signature of xAI Grok",
        ("EXIF ImageDescription",),
        r"Signature: ?[A-Za-z0-9+/_-]{16,}={0,2}\s*\Z",
        _SURVEY,
        2024,
        beside=("EXIF Artist", _UUID),
    ),
    Mark(
        "Samsung Galaxy AI",
        "Samsung's editor used generative AI",
        ("trailer PhotoEditor_Re_Edit_Data",),
        r'.{0,100000}?"genAIType"\s*:\s*"?-?0*[1-9]',
        _SURVEY,
        2024,
        Says.EDITED,
    ),
    Mark(
        "Dreamina",
        "Dreamina: exported as a generation",
        _COMMENTS,
        r'\s*\{(?=.{0,8000}"product"\s*:\s*"(?:dreamina(?:_oversea)?|jimeng)")'
        r'.{0,8000}"exportType"\s*:\s*"generation"',
        "https://brutorain.wordpress.com/wp-content/uploads/2026/01/tokyo_0003.jpeg",
        2024,
    ),
    Mark(
        "Dreamina",
        "information on AI-generated content, from Dreamina",
        _COMMENTS,
        r'\s*\{(?!.{0,8000}"exportType"\s*:\s*"generation")'
        r'.{0,8000}"aigc_info"\s*:\s*\{[^{}]{0,1000}"source_info"\s*:\s*"(?:dreamina|jimeng)"',
        "https://brutorain.wordpress.com/wp-content/uploads/2026/01/tokyo_0003.jpeg",
        2024,
        Says.POSSIBLY,
    ),
    Mark(
        "Midjourney",
        "number of a job, as Midjourney writes it",
        ("text Description", "EXIF ImageDescription", "XMP dc:description"),
        rf".{{0,4000}}\S\s+Job ID: {_UUID}\s*\Z",
        "https://raw.githubusercontent.com/Ktiseos-Nyx/Dataset-Tools/main/README.md",
        2023,
        Says.POSSIBLY,
    ),
)

_PROGRAMS = ("text Source", "text Generator", "EXIF HostComputer")
_AUTHORS = ("text Author", "EXIF Artist", "EXIF XPAuthor", "XMP dc:creator", "IPTC byline")


def tool_says(value: str) -> Says:
    """What a field says that names a program, a device or a service: whether that one generates images.

    The name has to come first: this is for fields that hold a name, not for prose that mentions one.
    """
    value = value[:MAX_TEXT].lstrip()
    return next((name.says for name in NAMES if name.start.match(value)), Says.NOTHING)


def author_says(value: str) -> Says:
    """What a field says that names an author: something only if a program's name is all that it holds."""
    value = value[:MAX_TEXT].strip()
    named = (name for name in NAMES if not name.person and name.alone.fullmatch(value))
    return next((name.says for name in named), Says.NOTHING)


def credit_says(value: str) -> Says:
    """What a credit line says: nothing unless it is, word for word, one that services of generative AI write.

    A maker of such tools may well be credited with a photograph.
    """
    line = " ".join(value[:MAX_TEXT].lower().split()).rstrip(".")
    return next((credit.says for credit in CREDITS if credit.text == line), Says.NOTHING)


def read_marks(fields: Iterable[Field]) -> Iterator[Finding]:
    """The findings of all rules in the fields of a file, in their order; one may come twice."""
    fields = tuple(fields)
    for field in fields:
        key = f"{field.group} {field.name}"
        for says in (tool_says,) if key in _PROGRAMS else (author_says,) if key in _AUTHORS else ():
            if (said := says(field.value)) is not Says.NOTHING:
                yield Finding(Kind.SOFTWARE, field.where, f"{field.name}: {clip(field.value)}", said)
        for mark in MARKS:
            if key in mark.fields and mark.start.match(field.value) and _beside(mark, field, fields):
                yield Finding(Kind.LABEL, field.where, mark.claim, mark.says)


def _beside(mark: Mark, field: Field, fields: tuple[Field, ...]) -> bool:
    """Whether the second field of a mark is there, if it has one."""
    if mark.beside is None:
        return True
    key, pattern = mark.beside
    return any(
        f"{each.group} {each.name}" == key and re.fullmatch(pattern, each.value.strip())
        for each in fields
        if each.where == field.where
    )
