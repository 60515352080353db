"""The card of an exported model for people, Markdown, from the one for programs."""

from typing import Any

import numpy as np

from tf_sigma_vae.evaluation.levels import shape_text


def to_text(content: dict[str, Any]) -> str:
    """The card as Markdown."""
    shape = "x".join(str(size) for size in content["image_shape"])
    options, video = content["variant_options"], content["video"]
    latent = latent_sentence(content["latent_size"], content["level_shapes"])
    latent += "" if video is None else " for each frame"
    of_what = f"{shape} images" if video is None else f"videos of {shape} frames"
    lines = [
        f"# {content['name']}",
        "",
        f"A sigma-VAE (`{content['model']}`) of {of_what} with the decoder "
        f"`{content['variant']}`" + (f" {options}" if options else "") + ".",
        "",
        f"* Data: `{content['data']['dataset']}`, in the unit {content['data_unit']}.",
        f"* Latent: {latent}; {content['num_weights']:,} weights, "
        "computed in {served}, trained in {trained}.".format(**content["precision"]),
        f"* Scale: {scale_sentence(content['scale'])}",
        *_video_lines(video),
        f"* `bits_per_dim` of the signature `elbo`: {content['bits_per_dim']}.",
        f"* `p_value` of the signature `anomaly`: {content['anomaly']['p_value']}; the smallest "
        f"is {content['anomaly']['smallest_p_value']:.2g}.",
        f"* Written {content['created']}. What was written, loaded anew, differs from the Python "
        f"model by at most {max(content['differences'].values()):.2g} of the size of an output.",
        "",
        "## Signatures",
        "",
        "The first dimension is the batch. Rows do not influence one another.",
        "",
        "| signature | inputs | outputs |",
        "|---|---|---|",
    ]
    for name, sides in sorted(content["signatures"].items()):
        lines.append(f"| `{name}` | {_tensors(sides['inputs'])} | {_tensors(sides['outputs'])} |")
    lines += [] if video is None else _calls(content["name"], shape, video)
    lines += ["", "## Evaluation", "", *_evaluation_lines(content["evaluation"])]
    lines += ["", "## Versions and hashes", ""]
    for kind in ("versions", "sha256"):
        lines += [f"* {name}: `{value}`" for name, value in content[kind].items()]
    return "\n".join(lines) + "\n"


def latent_sentence(latent_size: int, level_shapes: list | None) -> str:
    """The latent in words: what `z` of the signatures is made up of."""
    if level_shapes is None:
        return f"{latent_size} dimensions"
    levels = ", ".join(map(shape_text, level_shapes))
    return (
        f"{len(level_shapes)} levels, {levels}, of which `z` holds all {latent_size:,} numbers, "
        "flattened, top first; `encode` gives them along the means of the levels above"
    )


def _video_lines(video: dict[str, int] | None) -> list[str]:
    """What a user has to know of frames."""
    if video is None:
        return []
    context, num_frames = video["context_frames"], video["num_frames"]
    return [
        f"* Frames: `predict` takes {context} and gives the {num_frames} that follow them (fixed "
        f"by `sigma-vae-export --num_frames`). Clips have any number T above {context}, the same "
        f"for all rows of a request; T' = T - {context} of their frames are counted.",
        f"* `p_value` is of clips of {video['validation_frames']} frames; of others it is NaN.",
        "* A server that gathers requests (`--enable_batching`) fails those of a batch whose clips "
        "differ in length: send one length, or serve without it.",
    ]


def _calls(name: str, shape: str, video: dict[str, int]) -> list[str]:
    """How `predict` is called, by REST and by the client."""
    sizes = shape.replace("x", ", ")
    context = f"[B, {video['context_frames']}, {sizes}]"
    return [
        "",
        "## Calling it",
        "",
        "`mean` are the means of p(x|z) with z drawn by the seed, `frames` draws from p(x|z) "
        "around them, `mean_rollout` the means with each z the mean of its prior. The seed alone "
        "decides on the draws: the same seed, the same frames.",
        "",
        "```python",
        "from tf_sigma_vae.export.client import Client",
        "",
        f'with Client("localhost:8500", name="{name}", timeout=60, max_batch_size=8) as client:',
        f"    found = client.rollout(context, seeds=[[0, 1]])  # context {context} in [0, 1]",
        f'    found["mean"], found["frames"], found["mean_rollout"]  # [B, {video["num_frames"]}, '
        f"{sizes}]",
        '    client.elbo(clips, seeds=[[0, 1]])["elbo_per_frame"]  # clips [B, T, ' + sizes + "]",
        "```",
        "",
        "```bash",
        'curl -d \'{"signature_name": "predict", "inputs": {"context": [...], "seed": '
        f"[[0, 1]]}}}}' localhost:8501/v1/models/{name}:predict",
        "```",
    ]


def _tensors(tensors: dict[str, dict[str, Any]]) -> str:
    return ", ".join(
        f"`{name}` {spec['dtype']} [{', '.join(_sizes(name, spec['shape']))}]"
        for name, spec in tensors.items()
    )


def _sizes(name: str, shape: list[int | None]) -> list[str]:
    """Sizes in words: B, the batch, and of clips T, the frames."""
    unknown = "T'" if name == "score_per_frame" else "T"
    return [
        ("B" if axis == 0 else unknown) if size is None else str(size)
        for axis, size in enumerate(shape)
    ]


def scale_sentence(scale: dict[str, Any]) -> str:
    """What `scale` found, in words."""
    facts = dict(scale["provenance"])
    source = facts.pop("source")
    known = ", ".join(f"{name} {value}" for name, value in facts.items())
    origin = f"source: {source}" + (f" ({known})" if known else "")
    if scale["per"] is None:
        return f"none, a likelihood of the values themselves; {origin}."
    what = {
        "image": "one standard deviation for all elements",
        "channel": "one standard deviation for each channel",
        "element": "a standard deviation for each element, a function of z",
    }[scale["per"]]
    values = np.ravel([] if scale["value"] is None else scale["value"])
    return ", ".join([what, *(f"{value:.6g}" for value in values)]) + f"; {origin}."


def _evaluation_lines(evaluation: dict[str, Any] | None) -> list[str]:
    if evaluation is None:
        return ["Not evaluated before the export: run `sigma-vae-evaluate`, then export again."]
    protocol = evaluation["protocol"]
    length = protocol.get("clip_length")
    examples = "images" if length is None else "videos"
    cut = "" if length is None else f", in {protocol['num_clips']} clips of {length} frames"
    lines = [
        f"{protocol['num_examples']} {examples} of the {protocol['split']} split{cut}; mean and "
        f"standard error over {examples}.",
        "",
        "| metric | value | standard error | unit |",
        "|---|---|---|---|",
    ]
    for name, metric in evaluation["metrics"].items():
        lines.append(
            f"| {name} | {metric['value']:.6g} | {metric['standard_error']:.2g} | "
            f"{metric['unit']} |"
        )
    return lines
