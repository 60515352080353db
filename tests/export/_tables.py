"""The signatures that the export of every likelihood has: names, types and shapes, written out.

For images `[4, 6, C]` and `LATENT_SIZE` latents; -1 is the batch.
"""

LATENT_SIZE = 3


def _scale(likelihood, image):
    """Shape of `scale`, or None for a head without one."""
    batch, *_, channels = image
    return {
        "bernoulli": None,
        "bitwise_categorical": None,
        "categorical": None,
        "gaussian_fixed": (batch,),
        "gaussian_inverse_gamma": (batch,),
        "gaussian_optimal": (batch,),
        "gaussian_optimal_per_image": (batch,),
        "gaussian_per_channel": (batch, channels),
        "gaussian_per_pixel": image,
        "gaussian_shared": (batch,),
        "logistic_mixture": None,
        "mse": (batch,),
        "student_t": image,
    }[likelihood]


def _beside_mean_and_scale(likelihood, image):
    """Shapes of the other parameters of a head."""
    *pixels, channels = image
    marginal = {"concentration": (-1,), "inverse_gamma_scale": (-1,)}
    mixture = {
        "component_logits": (*pixels, 10),
        "loc": (*image, 10),
        "log_scale": (*image, 10),
        "coefficients": (*pixels, channels * (channels - 1) // 2, 10),
    }
    return {
        "bernoulli": {"logits": image},
        "bitwise_categorical": {"bit_logits": (*image, 8)},
        "categorical": {"level_logits": (*image, 256)},
        "gaussian_inverse_gamma": marginal,
        "gaussian_optimal_per_image": marginal,
        "logistic_mixture": mixture,
        "student_t": {"df": image},
    }.get(likelihood, {})


def expected(likelihood, image_shape, has_p_value=True):
    """`{signature: (inputs, outputs)}`, each `{name: (dtype, shape)}`."""
    image, latent, row = (-1, *image_shape), (-1, LATENT_SIZE), (-1,)
    scale = _scale(likelihood, image)
    scales = {} if scale is None else {"scale": scale}
    p_value = {"p_value": row} if has_p_value else {}
    images = {"images": ("float", image)}
    seed, z = {"seed": ("int32", (-1, 2))}, {"z": ("float", latent)}
    files = {"image_bytes": ("string", row)}
    reconstruct = images, _floats(mean=image, **scales)
    found = {
        "serving_default": reconstruct,
        "reconstruct": reconstruct,
        "encode": (images, _floats(z_mean=latent, z_scale=latent)),
        "decode": (
            z,
            _floats(mean=image, **scales, **_beside_mean_and_scale(likelihood, image)),
        ),
        "sample": (seed, _floats(image=image, mean=image, z=latent)),
        "elbo": (images | seed, _floats(elbo=row, log_prob=row, rate=row, bits_per_dim=row)),
        "anomaly": (images, _floats(score=row, z_score=image, **p_value)),
    }
    if image_shape[-1] in (1, 3):
        found["reconstruct_bytes"] = files, {"mean_bytes": ("string", row)}
        scores = _floats(score=row, **p_value)
        found["anomaly_bytes"] = files, {**scores, "z_score_bytes": ("string", row)}
    return found


def _floats(**shapes):
    return {name: ("float", shape) for name, shape in shapes.items()}
