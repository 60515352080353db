"""The requests that tests send to every export, by name."""

import numpy as np

SIZES = (0, 1, 5, 64)
INPUTS = {
    "serving_default": ("images",),
    "reconstruct": ("images",),
    "encode": ("images",),
    "decode": ("z",),
    "sample": ("seed",),
    "elbo": ("images", "seed"),
    "anomaly": ("images",),
    "reconstruct_bytes": ("image_bytes",),
    "anomaly_bytes": ("image_bytes",),
}
SEEDED = ("sample", "elbo")
FEW = 5
ORDER = [3, 0, 4, 4, 1]
"""Another order of the few rows, in which one is there twice."""

NAN_ROW, RANGE_ROW, INFINITE_ROW = 1, 2, 4
SPOILED = (NAN_ROW, RANGE_ROW, INFINITE_ROW)
SPOILED_SIGNATURES = tuple(name for name, names in INPUTS.items() if {"images", "z"} & set(names))


def requests(given):
    """`{name: (signature, inputs)}` for the `inputs` of a model."""
    found = {}
    for signature, names in INPUTS.items():
        rows = {name: given[name] for name in names}
        few = _take(rows, slice(FEW))
        for size in SIZES:
            found[f"{signature} {size}"] = signature, _take(rows, slice(size))
        for row in range(FEW):
            found[f"{signature} row {row}"] = signature, _take(rows, slice(row, row + 1))
        if signature in SPOILED_SIGNATURES:
            found[f"{signature} spoiled"] = signature, {**few, **_spoiled(few)}
        if signature in SEEDED:
            found[f"{signature} again"] = signature, few
            found[f"{signature} in order"] = signature, _take(few, ORDER)
            found[f"{signature} other"] = signature, {**few, "seed": few["seed"] + np.int32(1)}
    return found


def wrong_requests(given):
    """Those that must fail with INVALID_ARGUMENT."""
    few = _take(given, slice(FEW))
    x, z, seed = few["images"], few["z"], few["seed"]
    damaged = few["image_bytes"].copy()
    damaged[0] = damaged[0][:40] + b"\0" * 9 + damaged[0][49:]
    return {
        "height": ("encode", {"images": np.concatenate([x, x], axis=1)}),
        "channels": ("reconstruct", {"images": x[..., :1].repeat(2, axis=-1)}),
        "rank": ("anomaly", {"images": x[0]}),
        "latent size": ("decode", {"z": z[:, :-1]}),
        "one seed": ("sample", {"seed": seed[:, 0]}),
        "rows that differ": ("elbo", {"images": x, "seed": seed[:-1]}),
        "one seed for all": ("elbo", {"images": x, "seed": seed[:1]}),
        "one image for all": ("elbo", {"images": x[:1], "seed": seed}),
        "damaged": ("reconstruct_bytes", {"image_bytes": damaged}),
    }


def _take(rows, which):
    return {name: array[which] for name, array in rows.items()}


def _spoiled(few):
    """Some rows with one value that no row may have."""
    name = "z" if "z" in few else "images"
    array = few[name].copy()
    flat = array.reshape(FEW, -1)
    flat[NAN_ROW, 1] = np.nan
    flat[RANGE_ROW, -1] = np.inf if name == "z" else 1.25
    flat[INFINITE_ROW, 2] = -np.inf
    return {name: array}
