"""One fixture for each rule: what a program writes, or a file with its mark."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping

from metadata_files import exif, png, saved, user_comment

UUID = "6f1d2c3a-0000-4000-8000-000000000000"

NAMED = {
    "FLUX": (
        *("AI generated;txt2img;flux", "AI generated;img2img;flux", "AI generated;flux2-web", "AI generated"),
        *("Black Forest Labs API", "FLUX.1 [dev]", "flux2", "FLUX.1-Kontext-dev", "FLUX1.1 [pro] Ultra"),
    ),
    "Amazon Titan and Nova": ("Amazon Titan Image Generator", "Amazon Nova Canvas"),
    "Stable Diffusion": (
        *("Stable Diffusion XL", "stable-diffusion-webui", "AUTOMATIC1111", "stable-diffusion.cpp"),
        *("Stable Diffusion XL 1234ABCD", "Stable Diffusion 3.5 Large", "sd-webui v1.10.1-59-g82a973c0"),
    ),
    "Stability AI": ("Stability AI", "DreamStudio", "DreamStudio by Stability AI", "Stable Image Ultra"),
    "Bing Image Creator": (
        "Bing Image Creator",
        "Image Creator from Designer",
        "Microsoft_Responsible_AI/1.0",
        "Microsoft Responsible AI Image Provenance/1.0",
    ),
    "Microsoft Designer": ("Microsoft Designer",),
    "MAI-Image": ("MAI-Image-1", "MAI-Image-2e", "MAI-Image-2.5-Flash"),
    "ComfyUI": ("ComfyUI", "ComfyUI_0.3"),
    "SwarmUI": ("SwarmUI v0.9",),
    "InvokeAI": ("InvokeAI v3.0",),
    "NovelAI": ("NovelAI", "NovelAI Diffusion V4.5 1234ABCD"),
    "Fooocus": ("Fooocus v2.5", "RuinedFooocus"),
    "Draw Things": ("Draw Things",),
    "DiffusionBee": ("DiffusionBee",),
    "Easy Diffusion": ("Easy Diffusion v3",),
    "Craiyon": ("craiyon",),
    "Ideogram": ("Ideogram AI", "Ideogram 3.0"),
    "NightCafe": ("NightCafe Creator", "NightCafe Studio"),
    "Recraft": ("Recraft", "Recraft V3"),
    "Reve": ("reve.com",),
    "StarryAI": ("starryai",),
    "Tensor.Art": ("Tensor.Art",),
    "SeaArt": ("SeaArt.AI", "SeaArt"),
    "PixAI": ("PixAI", "pixai.art"),
    "Dreamina": ("Dreamina/3.0", "即梦AI"),
    "Seedream": ("Seedream 4.0", "ByteDance Seedream", "doubao-seedream-4-0-250828"),
    "Doubao": ("Doubao", "豆包"),
    "Kling": ("Kling AI", "KlingAI 2.1", "可灵AI"),
    "Qwen-Image": ("Qwen-Image-Edit", "Qwen-Image"),
    "Hunyuan": ("HunyuanImage 3.0", "Tencent HunyuanImage", "Hunyuan-DiT"),
    "Krea": ("Krea AI",),
    "Playground": ("Playground AI",),
    "DALL-E": ("DALL-E 3", "DALL·E", "dalle3", "DALL·E 3 HD"),
    "dalle": ("dalle",),
    "OpenAI": ("OpenAI", "OpenAI Media Service API", "OpenAI-API", "OpenAI DALL-E 3"),
    "ChatGPT": ("ChatGPT", "gpt-image-1", "GPT-4o"),
    "Adobe Firefly": (
        *("Adobe Firefly", "Adobe_Firefly", "Adobe_Firefly/1.0 adobe_c2pa/0.7.6", "Adobe Firefly™"),
        "Adobe Firefly Image 4 Ultra",
    ),
    "Getty Images": ("Generative AI by Getty Images",),
    "Google": ("Google Generative AI", "Imagen 4", "Google Gemini", "Nano Banana Pro"),
    "Grok": ("Grok Imagine", "Grok", "xAI", "xAI Grok"),
    "Meta AI": ("Imagine with Meta AI",),
    "Leonardo": ("Leonardo.Ai", "Leonardo AI"),
    "Midjourney": ("Midjourney", "midjourney v6.1", "Made with Midjourney."),
    "Apple Image Playground": ("Apple Image Playground",),
    "Adobe Photoshop, generative": ("Adobe Photoshop Generative Fill", "Generative Expand"),
    "Magic Editor": ("Magic Editor",),
}

CREDITED = {
    "made with google ai": "Made with Google AI",
    "edited with google ai": "Edited with Google AI",
    "ai-generated with google": "AI-Generated with Google",
    "ai-generated with google photos": "AI-Generated with Google Photos",
    "made with ai": "Made with AI",
    "imagined with ai": "Imagined with AI",
    "apple photos clean up": "Apple Photos Clean Up",
    "apple image playground": "Apple Image Playground",
}

# as a web page saves an export of Dreamina
DREAMINA = {
    "aigc_info": {"aigc_label_type": 0, "source_info": "dreamina"},
    "data": {"os": "web", "product": "dreamina", "exportType": "generation", "pictureId": "0"},
    "trace_info": {"originItemId": "1"},
}


def samsung_trailer(entries: Mapping[str, str]) -> bytes:
    """Entries behind the image as Samsung's gallery writes them: their blocks, then the directory of them."""
    blocks, places = b"", []
    for name, value in entries.items():
        block = struct.pack("<HHI", 0, 0x0BA1, len(name)) + name.encode() + value.encode()
        places.append((len(blocks), len(block)))
        blocks += block
    directory = b"SEFH" + struct.pack("<II", 101, len(places))
    for begin, size in places:
        directory += struct.pack("<HHII", 0, 0x0BA1, len(blocks) - begin, size)
    return blocks + directory + struct.pack("<I", len(directory)) + b"SEFT"


def commented(value: object) -> bytes:
    return saved("JPEG", exif=exif({0x0112: 1}, {0x9286: user_comment(json.dumps(value))}))


MARKED: dict[str, Callable[[], bytes]] = {
    "signature of xAI Grok": lambda: saved(
        "JPEG", exif=exif({0x010E: "Signature: " + "ab+/" * 80 + "==", 0x013B: UUID})
    ),
    "Samsung's editor used generative AI": lambda: (
        saved("JPEG")
        + samsung_trailer(
            {"Image_UTC_Data": "1", "PhotoEditor_Re_Edit_Data": '{"originalPath":"/a","genAIType":2}'}
        )
    ),
    "Dreamina: exported as a generation": lambda: commented(DREAMINA),
    "information on AI-generated content, from Dreamina": lambda: commented(
        {"aigc_info": DREAMINA["aigc_info"], "trace_info": {"originItemId": "1"}}
    ),
    "number of a job, as Midjourney writes it": lambda: png(Description=f"a cat in a hat Job ID: {UUID}"),
}
