"""Generation parameters of every program, in every place, and captions that are none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_files import camera, exif, png, saved, user_comment, xmp

from aigdetect.evidence.fields import Field
from aigdetect.evidence.findings import Says
from aigdetect.evidence.generators.gather import read_generations
from aigdetect.evidence.generators.generation import Generation
from aigdetect.evidence.provenance import read_provenance

INFOTEXT = (
    "a cat in a hat, <lora:x:0.8>\nNegative prompt: a dog, blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1234, Size: 512x512, Model hash: abc, Model: dreamer"
)
FROM_INFOTEXT = {
    "prompt": "a cat in a hat, <lora:x:0.8>",
    "negative_prompt": "a dog, blurry",
    "model": "dreamer",
    "seed": "1234",
    "sampler": "Euler a",
    "steps": "20",
}
GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dreamer.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog", "clip": ["1", 1]}},
    "4": {
        "class_type": "KSampler",
        "inputs": {
            **{"seed": 1234, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "denoise": 1.0},
            **{"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0]},
        },
    },
}
FROM_GRAPH = {
    "prompt": "a cat",
    "negative_prompt": "a dog",
    "model": "dreamer.safetensors",
    "seed": "1234",
    "sampler": "euler",
    "steps": "20",
}
NOVELAI = {
    "prompt": "a cat",
    "uc": "a dog",
    "seed": 1234,
    "sampler": "k_euler",
    "steps": 28,
    "scale": 5.0,
    "uncond_scale": 1.0,
    "noise_schedule": "native",
}
FROM_NOVELAI = {
    "prompt": "a cat",
    "negative_prompt": "a dog",
    "seed": "1234",
    "sampler": "k_euler",
    "steps": "28",
}
SWARM = {
    "sui_image_params": {
        **{"prompt": "a cat", "negativeprompt": "a dog", "model": "dreamer", "seed": 1234, "steps": 20},
        **{"sampler": "euler", "swarm_version": "0.9.5"},
    }
}
FROM_SWARM = {
    **{"prompt": "a cat", "negative_prompt": "a dog", "model": "dreamer"},
    **{"seed": "1234", "sampler": "euler", "steps": "20"},
}
TENSOR = {
    **{"prompt": "a cat", "negativePrompt": "a dog", "seed": "1234", "steps": 20, "samplerName": "euler"},
    "baseModel": {"modelFileName": "dreamer", "hash": "abc"},
}
RUINED = {
    **{"Prompt": "a cat", "Negative": "a dog", "steps": 20, "seed": 1234, "sampler_name": "euler"},
    **{"base_model_name": "dreamer", "software": "RuinedFooocus"},
}
FOOOCUS = {
    **{"prompt": "a cat", "negative_prompt": "a dog", "base_model": "dreamer", "base_model_hash": "abc"},
    **{"sampler": "euler", "steps": 20, "seed": 1234, "scheduler": "karras", "version": "Fooocus v2"},
    **{"guidance_scale": 4, "sharpness": 2},
}
CIVITAI = {
    "4": GRAPH["4"],
    "extraMetadata": json.dumps(
        {"prompt": "a cat", "negativePrompt": "a dog", "steps": 20, "sampler": "euler", "seed": 1234}
    ),
}
INVOKE = {
    **{"positive_prompt": "a cat", "negative_prompt": "a dog", "scheduler": "euler", "seed": 1234},
    **{"steps": 20, "model": {"model_name": "dreamer"}},
}
THINGS = {
    **{"c": "a cat", "uc": "a dog", "model": "dreamer", "seed": 1234, "sampler": "euler", "steps": 20},
}
EASY = {
    **{"prompt": "a cat", "negative_prompt": "a dog", "use_stable_diffusion_model": "dreamer"},
    **{"seed": "1234", "sampler_name": "euler", "num_inference_steps": "20"},
}
UNNAMED = {
    **{"prompt": "a cat", "negative_prompt": "a dog", "model": "dreamer", "seed": 1234},
    **{"sampler": "euler", "num_inference_steps": 20},
}
JOB = "Job ID: 6f1d2c3a-0000-4000-8000-000000000000"
MIDJOURNEY = f"a cat in a hat --v 6.1 --ar 3:2 {JOB}"
FLUX = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1-dev"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["9", 0]}},
    "3": {"class_type": "RandomNoise", "inputs": {"noise_seed": 1234}},
    "4": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
    "5": {"class_type": "BasicScheduler", "inputs": {"steps": 20, "scheduler": "simple"}},
    "6": {"class_type": "SamplerCustomAdvanced", "inputs": {"noise": ["3", 0], "sampler": ["4", 0]}},
}
FROM_FLUX = {"prompt": "a cat", "model": "flux1-dev", "seed": "1234", "sampler": "euler", "steps": "20"}


def in_exif(kind: str, value: Any, order: str = "utf-16-be") -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return saved(kind, exif=exif({0x013B: "somebody"}, {0x9286: user_comment(text, order)}))


def in_png(**texts: Any) -> bytes:
    return png(
        **{key: value if isinstance(value, str) else json.dumps(value) for key, value in texts.items()}
    )


CASES: dict[str, tuple[bytes, str, dict[str, str]]] = {
    "a1111 png": (in_png(parameters=INFOTEXT), "AUTOMATIC1111", FROM_INFOTEXT),
    "a1111 packed png": (png(True, parameters=INFOTEXT), "AUTOMATIC1111", FROM_INFOTEXT),
    "a1111 jpeg": (in_exif("JPEG", INFOTEXT), "AUTOMATIC1111", FROM_INFOTEXT),
    "a1111 jpeg, other order": (in_exif("JPEG", INFOTEXT, "utf-16-le"), "AUTOMATIC1111", FROM_INFOTEXT),
    "a1111 webp": (in_exif("WEBP", INFOTEXT), "AUTOMATIC1111", FROM_INFOTEXT),
    "a1111 avif": (in_exif("AVIF", INFOTEXT), "AUTOMATIC1111", FROM_INFOTEXT),
    "a1111 jpeg comment": (saved("JPEG", comment=INFOTEXT.encode()), "AUTOMATIC1111", FROM_INFOTEXT),
    "forge": (in_png(parameters=f"{INFOTEXT}, Version: f2.0.1v1.10.1"), "Forge", FROM_INFOTEXT),
    "forge neo": (in_exif("WEBP", f"{INFOTEXT}, Version: neo"), "Forge Neo", FROM_INFOTEXT),
    "sd.next": (in_png(parameters=f"{INFOTEXT}, App: SD.Next"), "SD.Next", FROM_INFOTEXT),
    "civitai jpeg": (in_exif("JPEG", f"{INFOTEXT}, Civitai resources: []"), "Civitai", FROM_INFOTEXT),
    "comfyui png": (in_png(prompt=GRAPH, workflow={"links": [], "nodes": []}), "ComfyUI", FROM_GRAPH),
    "comfyui png without workflow": (in_png(prompt=GRAPH), "ComfyUI", FROM_GRAPH),
    "comfyui jpeg": (in_exif("JPEG", {"prompt": GRAPH, "workflow": {}}), "ComfyUI", FROM_GRAPH),
    "comfyui jpeg, strings": (in_exif("JPEG", {"prompt": json.dumps(GRAPH)}), "ComfyUI", FROM_GRAPH),
    "comfyui webp": (
        saved("WEBP", exif=exif({0x010F: "workflow:{}", 0x0110: "prompt:" + json.dumps(GRAPH)})),
        "ComfyUI",
        FROM_GRAPH,
    ),
    "comfyui flux": (in_png(prompt=FLUX), "ComfyUI", FROM_FLUX),
    "comfyui screen": (
        in_png(workflow={"last_node_id": 2, "nodes": [{"type": "KSampler"}], "links": []}),
        "ComfyUI",
        {"sampler": "KSampler"},
    ),
    "invokeai png": (
        in_png(invokeai_metadata=INVOKE),
        "InvokeAI",
        {**FROM_SWARM, "sampler": "euler"},
    ),
    "novelai png": (
        in_png(
            Software="NovelAI", Source="NovelAI Diffusion V4 ABC1234", Description="a cat", Comment=NOVELAI
        ),
        "NovelAI",
        {**FROM_NOVELAI, "model": "NovelAI Diffusion V4"},
    ),
    "novelai png, less": (in_png(Software="NovelAI", Comment=NOVELAI), "NovelAI", FROM_NOVELAI),
    "novelai webp": (
        in_exif("WEBP", {"Comment": json.dumps(NOVELAI), "Software": "NovelAI", "Source": "V4"}),
        "NovelAI",
        {**FROM_NOVELAI, "model": "V4"},
    ),
    "novelai webp, inner alone": (in_exif("WEBP", NOVELAI), "NovelAI", FROM_NOVELAI),
    "fooocus png": (in_png(parameters=FOOOCUS), "Fooocus", FROM_SWARM),
    "fooocus jpeg": (in_exif("JPEG", FOOOCUS), "Fooocus", FROM_SWARM),
    "swarmui png": (in_png(parameters=SWARM), "SwarmUI", FROM_SWARM),
    "swarmui jpeg": (in_exif("JPEG", SWARM, "utf-16-le"), "SwarmUI", FROM_SWARM),
    "tensor.art png": (
        in_png(generation_data=json.dumps(TENSOR) + "\0", prompt=GRAPH),
        "Tensor.Art",
        FROM_SWARM,
    ),
    "ruined fooocus png": (in_png(parameters=RUINED), "RuinedFooocus", FROM_SWARM),
    "civitai graph": (
        in_exif("JPEG", CIVITAI),
        "Civitai",
        {name: value for name, value in FROM_SWARM.items() if name != "model"},
    ),
    "easy diffusion png": (in_png(**EASY), "Easy Diffusion", FROM_SWARM),
    "draw things png": (
        saved("JPEG", xmp=xmp("", f"<exif:UserComment>{json.dumps(THINGS)}</exif:UserComment>")),
        "Draw Things",
        FROM_SWARM,
    ),
    "unnamed jpeg": (in_exif("JPEG", UNNAMED), "unnamed program", FROM_SWARM),
    "midjourney png": (
        in_png(Description=MIDJOURNEY, Author="somebody"),
        "Midjourney",
        {"prompt": "a cat in a hat --v 6.1 --ar 3:2"},
    ),
    "midjourney jpeg": (
        saved("JPEG", exif=exif({0x010E: MIDJOURNEY})),
        "Midjourney",
        {"prompt": "a cat in a hat --v 6.1 --ar 3:2"},
    ),
    "web ui with little said": (
        in_png(parameters="a cat\nNegative prompt: a dog\nSteps: 4, Seed: 7, Size: 64x64"),
        "Stable Diffusion web UI",
        {"prompt": "a cat", "negative_prompt": "a dog", "seed": "7", "steps": "4"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_parameters(name: str) -> None:
    data, tool, wanted = CASES[name]
    found = read_provenance(data)
    [read] = found.generation
    assert read == Generation(tool, read.where, **wanted)
    assert [each.says for each in found.findings if each.kind.value == "generation parameters"] == [
        Says.GENERATED
    ]
    assert found.summary().startswith("AI-generated: ")


IMG2IMG = INFOTEXT.replace(", Model hash", ", Denoising strength: 0.45, Model hash")
HIRES = INFOTEXT.replace(
    ", Model hash", ", Denoising strength: 0.45, Hires upscale: 2, Hires upscaler: Latent, Model hash"
)
INPAINT = INFOTEXT.replace(
    ", Model hash", ", Denoising strength: 0.75, Mask blur: 4, Inpaint area: Only masked, Model hash"
)


def graph(*changes: dict[str, Any], **sampler: Any) -> dict[str, Any]:
    """A graph with nodes changed or added, and inputs of its sampler changed."""
    nodes = {**GRAPH, **{str(5 + number): change for number, change in enumerate(changes)}}
    inputs = {**GRAPH["4"]["inputs"], **sampler}
    return {**nodes, "4": {"class_type": "KSampler", "inputs": inputs}}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


LOAD = node("LoadImage", image="photo.jpg")
ENCODE = node("VAEEncode", pixels=["5", 0], vae=["1", 2])

EDITED: dict[str, tuple[bytes, str]] = {
    "web UI": (in_png(parameters=IMG2IMG), "image to image, denoising strength 0.45"),
    "web UI, little said": (
        in_png(parameters="a cat\nSteps: 4, Seed: 7, Denoising strength: 0.3"),
        "image to image, denoising strength 0.3",
    ),
    "web UI with a mask": (in_exif("JPEG", INPAINT), "inpainting"),
    "web UI, only larger": (
        in_png(postprocessing="Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN 4x+"),
        "upscaling, mending of faces",
    ),
    "graph": (
        in_png(prompt=graph(LOAD, ENCODE, latent_image=["6", 0], denoise=0.6)),
        "image to image, denoising strength 0.6",
    ),
    "graph, picture reduced on the way": (
        in_png(
            prompt=graph(
                LOAD,
                node("VAEEncode", pixels=["7", 0]),
                node("ImageScale", image=["5", 0]),
                latent_image=["6", 0],
            )
        ),
        "image to image, denoising strength 1",
    ),
    "graph with a mask": (
        in_png(prompt=graph(LOAD, node("VAEEncodeForInpaint", pixels=["5", 0]), latent_image=["6", 0])),
        "inpainting",
    ),
    "graph that edits by instruction": (
        in_png(prompt=graph(LOAD, ENCODE, node("ReferenceLatent", latent=["6", 0], conditioning=["2", 0]))),
        "image to image",
    ),
    "graph that only makes larger": (
        in_png(
            prompt={
                "5": LOAD,
                "6": node("ImageUpscaleWithModel", image=["5", 0]),
                "7": node("SaveImage", images=["6", 0]),
            }
        ),
        "upscaling",
    ),
    "graph of a service": (
        in_png(
            prompt={"5": LOAD, "6": node("FluxKontextProImageNode", prompt="a hat", input_image=["5", 0])}
        ),
        "image to image",
    ),
    "graph on the screen": (
        in_png(
            workflow={
                "last_node_id": 3,
                "nodes": [
                    {"id": 1, "type": "LoadImage"},
                    {"id": 2, "type": "VAEEncode", "inputs": [{"name": "pixels", "link": 1}]},
                    {"id": 3, "type": "KSampler", "inputs": [{"name": "latent_image", "link": 2}]},
                ],
                "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 3, 3, "LATENT"]],
            }
        ),
        "image to image",
    ),
    "InvokeAI": (in_png(invokeai_metadata={**INVOKE, "generation_mode": "sdxl_img2img"}), "image to image"),
    "NovelAI": (
        in_png(
            Software="NovelAI",
            Source="Stable Diffusion XL 1234ABCD",
            Comment={**NOVELAI, "request_type": "NativeInfillingRequest"},
        ),
        "inpainting",
    ),
    "SwarmUI": (
        in_png(parameters={"sui_image_params": {**SWARM["sui_image_params"], "initimagecreativity": 0.6}}),
        "image to image",
    ),
}


@pytest.mark.parametrize("name", EDITED)
def test_what_was_made_of_an_image_is_edited_and_contradicts_no_camera(name: str) -> None:
    data, edited = EDITED[name]
    found = read_provenance(data)
    assert [each.edited for each in found.generation] == [edited]
    assert {each.says for each in found.findings} == {Says.EDITED}
    assert edited in found.summary()


def test_a_camera_beside_image_to_image_is_no_contradiction() -> None:
    data = saved("JPEG", exif=exif(camera(), {0x9286: user_comment(IMG2IMG)}))
    found = read_provenance(data)
    assert {each.says for each in found.findings} == {Says.CAPTURED, Says.EDITED}
    assert found.contradictions == ()


@pytest.mark.parametrize(
    "data",
    [
        in_png(parameters=HIRES),
        in_png(parameters=INFOTEXT.replace("a cat", "Denoising strength: 0.4, Mask blur: 4, a cat")),
        in_png(prompt=graph(LOAD)),
        in_png(
            prompt=graph(
                LOAD, node("ControlNetApply", image=["5", 0], conditioning=["2", 0]), positive=["6", 0]
            )
        ),
        in_png(prompt=graph(node("EmptyLatentImage", width=64), latent_image=["5", 0])),
        in_png(invokeai_metadata={**INVOKE, "generation_mode": "sdxl_txt2img"}),
        in_png(prompt={"6": node("GeminiImage2Node", prompt="a cat", model="gemini-3-pro-image-preview")}),
    ],
    ids=["hires", "prompt", "unused", "pose", "empty", "txt2img", "service"],
)
def test_what_was_made_of_nothing_is_generated(data: bytes) -> None:
    [found] = read_provenance(data).generation
    assert found.edited == ""
    assert {each.says for each in read_provenance(data).findings} == {Says.GENERATED}


@pytest.mark.parametrize(
    ("kind", "inputs", "model"),
    [
        (
            "GeminiImage2Node",
            {"model": "gemini-3-pro-image-preview"},
            "Google Gemini, gemini-3-pro-image-preview",
        ),
        ("GeminiImageNode", {}, "Google Gemini"),
        ("OpenAIGPTImage1", {"model": "gpt-image-1"}, "OpenAI, gpt-image-1"),
        ("OpenAIDalle3", {}, "OpenAI"),
        ("FluxProUltraImageNode", {}, "FLUX"),
        ("Flux2ProImageNode", {}, "FLUX"),
        ("FluxKontextMaxImageNode", {}, "FLUX"),
        ("IdeogramV3", {}, "Ideogram"),
        ("StabilityStableImageUltraNode", {}, "Stability AI"),
        ("RecraftTextToImageNode", {}, "Recraft"),
        ("LumaImageNode", {}, "Luma"),
        ("ByteDanceSeedreamNode", {}, "ByteDance Seedream"),
        ("KlingImageGenerationNode", {}, "Kling"),
        ("RunwayTextToImageNode", {}, "Runway"),
        ("WanTextToImageApi", {}, "Wan"),
        ("ReveImageCreateNode", {}, "Reve"),
        ("GrokImageNode", {}, "xAI Grok"),
    ],
)
def test_graphs_in_which_a_service_makes_the_picture(kind: str, inputs: dict[str, str], model: str) -> None:
    nodes = {"1": node(kind, prompt="a cat", seed=7, **inputs), "2": node("SaveImage", images=["1", 0])}
    [found] = read_provenance(in_png(prompt=nodes)).generation
    assert (found.tool, found.model, found.prompt, found.seed) == ("ComfyUI", model, "a cat", "7")
    [finding] = read_provenance(in_png(prompt=nodes)).findings
    assert finding.says is Says.GENERATED


@pytest.mark.parametrize(
    "kind", ["GeminiNode", "OpenAIChatNode", "FluxGuidance", "KlingImage2VideoNode", "SaveImage"]
)
def test_graphs_in_which_nothing_makes_a_picture(kind: str) -> None:
    nodes = {"1": LOAD, "2": node(kind, prompt="what is this?", images=["1", 0])}
    assert {each.says for each in read_provenance(in_png(prompt=nodes)).findings} == {Says.NOTHING}


def test_a_zeroed_negative_condition_is_no_negative_prompt() -> None:
    zeroed = graph(node("ConditioningZeroOut", conditioning=["2", 0]), negative=["5", 0])
    [found] = read_provenance(in_png(prompt=zeroed)).generation
    assert (found.prompt, found.negative_prompt) == ("a cat", "")
    mixed = graph(
        node("ConditioningZeroOut", conditioning=["2", 0]),
        node("ConditioningCombine", conditioning_1=["5", 0], conditioning_2=["3", 0]),
        negative=["6", 0],
    )
    [found] = read_provenance(in_png(prompt=mixed)).generation
    assert "a dog" in found.negative_prompt


def test_a_job_of_midjourney_without_options() -> None:
    [found] = read_provenance(in_png(Description=f"a cat in a hat {JOB}", Author="somebody")).generation
    assert (found.tool, found.prompt) == ("Midjourney", "a cat in a hat")
    found = read_provenance(in_png(Description=f"a cat in a hat {JOB}"))
    assert found.generation == ()
    assert {each.says for each in found.findings} == {Says.POSSIBLY}


def test_hostile_graphs_cost_little_time() -> None:
    link = {"steps": 1, "cfg": 1, "sampler_name": "x"}
    chained = {
        str(n): node("KSampler", latent_image=[str(n + 1), 0], negative=[str(n + 1), 0], **link)
        for n in range(30_000)
    }
    wide = {"1": node("KSampler", **{f"image{n}": ["2", 0] for n in range(100_000)})}
    named = {"1": node("Load" * 1_000_000), "2": node("KSampler", **{"image" * 100_000: ["1", 0]})}
    start = time.process_time()
    for nodes in (chained, wide, named):
        read_provenance(in_png(prompt=nodes))
    assert time.process_time() - start < 10


def test_graphs_that_go_round_in_circles_end() -> None:
    loop = {
        "1": node("KSampler", latent_image=["2", 0], negative=["2", 0]),
        "2": node("VAEEncode", pixels=["1", 0]),
    }
    assert [each.edited for each in read_provenance(in_png(prompt=loop)).generation] == [""]


CAPTIONS = [
    "Protest against Midjourney and Stable Diffusion outside the gallery",
    "AI-generated? No, a photograph. Steps: 20 to the top of the tower",
    "Steps: 20, she said, and Sampler: none",
    "a cat --v 6 (Midjourney)",
    "Job ID: 6f1d2c3a-0000-4000-8000-000000000000",
    "Prompt: a cat. Negative prompt: a dog.",
    '{"prompt": "a cat"}',
    '{"title": "prompt", "seed": 7}',
    '"Dream" of a summer night',
    "workflow: scan, clean, archive",
    "parameters: {f: 8, iso: 100}",
    '{"nodes": [], "edges": []}',
    "Steps: 20 up, Seed: 7 apples, CFG scale: large",
]


@pytest.mark.parametrize("caption", CAPTIONS)
def test_captions_are_no_parameters(caption: str) -> None:
    files = [
        saved(
            "JPEG", exif=exif({0x010E: caption}, {0x9286: user_comment(caption)}), comment=caption.encode()
        ),
        png(Description=caption, Comment=caption, Title=caption, Dream=caption, parameters=caption),
        png(prompt=caption, workflow=caption, Source=caption, Author="somebody"),
    ]
    for data in files:
        found = read_provenance(data)
        assert found.generation == ()
        assert not found.summary().startswith("AI")


def test_an_image_that_only_went_through_comfyui_is_not_called_generated() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.jpg"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    }
    found = read_provenance(in_png(prompt=graph))
    assert found.generation == (Generation("ComfyUI", "PNG text"),)
    assert found.findings[0].says is Says.NOTHING


def test_values_are_clipped_and_plain() -> None:
    [found] = read_generations(
        [
            Field(
                "text",
                "parameters",
                json.dumps({**UNNAMED, "prompt": "x" * 9999, "seed": [1], "num_inference_steps": True}),
                "here",
            )
        ]
    )
    assert (len(found.prompt), found.seed, found.steps) == (2000, "", "")


def chain(samplers: int) -> str:
    nodes: dict[str, Any] = {
        str(i): {"class_type": "A", "inputs": {"model": [str(i + 1), 0]}} for i in range(5000)
    }
    for i in range(samplers):
        inputs = {"seed": 1, "steps": 2, "cfg": 3, "sampler_name": "s", "model": ["0", 0]}
        nodes[f"s{i}"] = {"class_type": "KSampler", "inputs": {**inputs, "positive": ["0", 0]}}
    return json.dumps(nodes)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("prompt", chain(2000)),
        ("prompt", '{"a":' * 300_000),
        ("prompt", "[" * 2_000_000),
        ("parameters", "Hashes: {" * 100_000 + INFOTEXT),
        ("parameters", INFOTEXT + ", a: b" * 500_000),
        ("parameters", "Steps: 1, " * 3000),
        ("parameters", "\nSteps: 1, Sampler: x" * 100_000),
        ("Dream", '"' * 8000 + "\n"),
        ("Dream", '"' + "[" * 8000 + '"'),
        ("Description", "Job ID: " * 100_000),
        ("Comment", '{"uncond_scale": ' + "1" * 1_000_000 + "}"),
        ("UserComment", "prompt:{" * 300_000),
        ("UserComment", '{"class_type": "' + "x" * 2_000_000),
    ],
)
def test_hostile_texts_cost_little_time(key: str, text: str) -> None:
    start = time.process_time()
    read_generations([Field("text", key, text, "here"), Field("text", "Software", "NovelAI", "here")])
    assert time.process_time() - start < 2


WORDS = st.sampled_from(
    ["{", "}", '"', ":", "[", "]", ",", "\n", "class_type", "inputs", "prompt", "seed", "1"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["class_type", "inputs", "prompt", "workflow", "links", "nodes", "seed", "steps", "4"]
            )
            | st.sampled_from(
                ["extraMetadata", "sui_image_params", "baseModel", "Comment", "model", "image"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KEYS = st.sampled_from(["Dream", "invokeai_metadata", "Description", "Software", "AIGC"]) | st.sampled_from(
    ["parameters", "prompt", "workflow", "UserComment", "Comment", "generation_data", "sd-metadata"]
)


@given(st.dictionaries(KEYS, JSON.map(json.dumps) | st.lists(WORDS, max_size=30).map("".join), max_size=4))
def test_any_texts_are_harmless(texts: dict[str, str]) -> None:
    for found in read_generations(Field("text", key, value, "here") for key, value in texts.items()):
        assert all(isinstance(value, str) for value in found.as_dict().values())
