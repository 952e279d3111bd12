"""Rules: which marks in the metadata of a file say that a generative model made or changed its image.

A new generator is one row here and one fixture in the tests. Each row names a public source for its mark.
Rows are Python, as a file of YAML would have to be read and checked whenever ``inspect`` starts.
"""

from __future__ import annotations

from aigdetect.evidence.findings import Says
from aigdetect.evidence.rule_kinds import Credit, Mark, Name

_ROOT = "https://raw.githubusercontent.com/wiltodelta/remove-ai-watermarks"
_SURVEY = f"{_ROOT}/f52e40ae245db73600c2cbbf9214e6a597d36598/docs/watermarking-landscape.md"

# Only names that nothing else goes by: "Gemini", "Imagen", "Flux", "Firefly" and "Sora" alone
# also name others.
NAMES = (
    # what its programs, and those made of them, write as the software: "AI generated;txt2img;flux"
    Name(
        "FLUX",
        r"ai generated(?=\s*\Z|;(?:txt2img|img2img|edit|flux))|black forest labs(?: flux)?"
        r"|flux\.?[12](?:[ .-](?:schnell|kontext|krea|klein))?",
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
        r"automatic1111|stable[- ]diffusion(?:\.cpp)?|sd[- ]?webui",
        "https://github.com/AUTOMATIC1111/stable-diffusion-webui",
        2022,
    ),
    Name(
        "Stability AI",
        r"stability ai(?: stable (?:diffusion|image))?(?: core)?|stable image (?:core|ultra)"
        r"|dreamstudio(?: by stability ai)?",
        "https://platform.stability.ai/docs",
        2022,
    ),
    Name(
        "Bing Image Creator",
        r"bing image creator|image creator from (?:microsoft )?designer"
        r"|microsoft[_ ]responsible[_ ]ai(?:[_ ]image[_ ]provenance)?",
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
    Name("NightCafe", r"nightcafe(?: studio)?", "https://creator.nightcafe.studio", 2019, person=True),
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
        r"openai(?: (?:dall[-·. ]e|gpt[- ]image|imagegen|media service|sora))?",
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
        r"adobe[ _]firefly(?: (?:boards|vector))?|firefly image",
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
    # "Meta AI" alone is the maker of the photographs that its glasses take, and the app that saves them
    Name(
        "Meta AI",
        r"imagine with meta ai",
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
        r"magic editor\s*\Z",
        "https://support.google.com/photos/answer/14144912",
        2023,
        Says.EDITED,
    ),
)

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
