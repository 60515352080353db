"""A client for an exported model on TensorFlow Serving, by gRPC or by REST.

    from tf_sigma_vae.export.client import Client

    with Client("localhost:8500", name="digits") as client:     # http://localhost:8501 for REST
        client.wait_until_ready(timeout=60)
        z = client.encode(images)["z_mean"]                     # images [B, H, W, C] in [0, 1]
        likelihood = client.decode(z)                           # a tfd.Distribution, p(x|z)
        likelihood.mean(), likelihood.log_prob(images)
        client.sample([[0, 1], [0, 2]])["image"]                # the same seeds, the same images
        client.anomaly(images)["p_value"]

        client.rollout(context, [[0, 1]])["mean"]               # of videos: the frames that follow
        client.elbo(clips, [[0, 1]])["elbo_per_frame"]          # clips [B, T, H, W, C]

Requests are checked before they are sent, cut into parts that the server takes, and have a
deadline. With large batches gRPC is 20 to 50 times faster; REST needs no further package.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from tensorflow_probability import distributions as tfd

from tf_sigma_vae import distributions
from tf_sigma_vae.export._grpc import GrpcTransport
from tf_sigma_vae.export._rest import RestTransport
from tf_sigma_vae.export._transport import (
    AVAILABLE,
    Deadline,
    Metadata,
    ServingError,
    Signature,
    TensorInfo,
    Transport,
    address_error,
    closed_error,
    empty,
)
from tf_sigma_vae.export._validation import (
    ANY_EXAMPLES,
    check_call,
    checked,
    checked_integer,
    checked_range,
)
from tf_sigma_vae.export.server_files import MAX_BATCH_SIZE

__all__ = ["Client", "Metadata", "ServingError", "Signature", "TensorInfo"]

POLL_SECONDS = 0.1
_RETRIED_WHILE_WAITING = ("UNAVAILABLE", "NOT_FOUND", "DEADLINE_EXCEEDED")


class Client:
    """Calls the signatures of one model; threads may share it.

    A call is answered by one version of the model, also where it is sent in parts: the first part
    goes to the newest version and the others to the one that answered it. If that version has been
    taken away in between, the call is started again, once.

    Attributes:
      name: Of the model.
      version: The version that is asked, or None for the newest.
    """

    def __init__(
        self,
        address: str,
        name: str,
        version: int | None = None,
        timeout: float = 10.0,
        max_batch_size: int = MAX_BATCH_SIZE,
        value_range: tuple[float, float] | None = (0.0, 1.0),
    ) -> None:
        """Connects with the first call, not before.

        Args:
          address: `"host:port"` for gRPC, `"http://host:port"` (or https) for REST; an IPv6 host is
            in brackets, `"[::1]:8500"`.
          name: Of the model, as the server knows it.
          version: Asks this version only; by default the newest, whichever that is at the time.
          timeout: Seconds that a call may take, all its parts together; a day at most.
          max_batch_size: Rows of one request; larger calls are cut.
          value_range: Lowest and highest value of images and clips, with a tolerance of a
            thousandth; None for a model that takes any finite value, such as one with
            `loc_activation="linear"`.

        Raises:
          ValueError: On an impossible address, version, timeout, size or range.
          ImportError: If gRPC is asked for and not installed.
        """
        self.name = name
        self.version = None if version is None else checked_integer("version", version, 0)
        self._timeout = Deadline(timeout).seconds
        self._max_batch_size = checked_integer("max_batch_size", max_batch_size, 1)
        self._value_range = checked_range(value_range)
        self._closed = False
        if not isinstance(address, str):
            raise address_error(address)
        transport = RestTransport if "://" in address else GrpcTransport
        self._transport: Transport = transport(address)
        # (version or None, what the server said of it): replaced as a whole, so without a lock.
        self._known: tuple[int | None, Metadata] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection: any later call is a `ServingError` with the code `CANCELLED`."""
        self._closed = True
        self._transport.close()

    # -- the signatures

    def encode(self, x: ArrayLike) -> dict[str, np.ndarray]:
        """The posterior of images `[B, H, W, C]` in [0, 1]: `z_mean`, `z_scale` `[B, L]`.

        Of clips `[B, T, H, W, C]` that of each frame, and `prior_mean`, `prior_scale`, `[B, T, L]`.
        """
        return self.predict("encode", {ANY_EXAMPLES: x})

    def decode(self, z: ArrayLike) -> tfd.Distribution:
        """p(x|z) of latents `[B, L]`: a `tfd.Distribution`, batch `[B]`, event `[H, W, C]`."""
        return distributions.from_parameters(self.predict("decode", {"z": z}))

    def reconstruct(self, images: ArrayLike) -> dict[str, np.ndarray]:
        """`mean` `[B, H, W, C]`, and `scale` if the decoder has one."""
        return self.predict("reconstruct", {"images": images})

    def sample(self, seeds: ArrayLike) -> dict[str, np.ndarray]:
        """Draws from the prior: `image`, `mean` `[B, H, W, C]`, `z` `[B, L]`.

        Args:
          seeds: Integers `[B, 2]`; a row is a function of its own seed alone.
        """
        return self.predict("sample", {"seed": seeds})

    def elbo(self, x: ArrayLike, seeds: ArrayLike) -> dict[str, np.ndarray]:
        """`elbo`, `log_prob`, `rate` (nats) and `bits_per_dim`, each `[B]`, of images or clips.

        Of clips also `elbo_per_frame` `[B]`.
        """
        return self.predict("elbo", {ANY_EXAMPLES: x, "seed": seeds})

    def anomaly(self, x: ArrayLike) -> dict[str, np.ndarray]:
        """`score` (negative elbo, nats) and `p_value` `[B]`; `z_score` `[B, H, W, C]`.

        Of clips, whose frames are not mapped, `score_per_frame` instead of `z_score`.
        """
        return self.predict("anomaly", {ANY_EXAMPLES: x})

    def rollout(self, context: ArrayLike, seeds: ArrayLike) -> dict[str, np.ndarray]:
        """The frames after a context, by the signature `predict`, each `[B, n, H, W, C]`.

        Args:
          context: The frames that are given, `[B, c, H, W, C]` in [0, 1].
          seeds: Integers `[B, 2]`; the draws are functions of the row's own seed alone.

        Returns:
          `mean`, the means with z drawn; `frames`, draws around them; `mean_rollout`, the means
          with the means of the priors; `scale` if the decoder has one.
        """
        return self.predict("predict", {"context": context, "seed": seeds})

    def reconstruct_bytes(self, image_bytes: Sequence[bytes]) -> dict[str, np.ndarray]:
        """`mean_bytes` `[B]`, PNG files, of a list of PNG or JPEG files."""
        return self.predict("reconstruct_bytes", {"image_bytes": image_bytes})

    def anomaly_bytes(self, image_bytes: Sequence[bytes]) -> dict[str, np.ndarray]:
        """`score`, `p_value`, `z_score_bytes` `[B]` of a list of PNG or JPEG files."""
        return self.predict("anomaly_bytes", {"image_bytes": image_bytes})

    def predict(
        self, signature: str, inputs: Mapping[str, object], timeout: float | None = None
    ) -> dict[str, np.ndarray]:
        """Calls any signature.

        Args:
          signature: Its name.
          inputs: Arrays by name, with the batch first; a list of bytes for files. Without rows the
            answer is made here: a server that gathers requests never answers an empty one.
          timeout: Seconds for this call, if not those of the client.

        Returns:
          Outputs by name; strings are object arrays of bytes.

        Raises:
          ValueError: If the inputs do not fit the signature. They are not sent then.
          ServingError: If the server cannot be reached, refuses, or takes too long; `CANCELLED` if
            the client is closed.
        """
        check_call(signature, inputs)
        deadline = Deadline(self._timeout if timeout is None else timeout)
        try:
            return self._predict(signature, inputs, deadline)
        except ServingError as error:
            self._known = None
            # The version that was asked may have been taken away since it was the newest.
            if error.code != "NOT_FOUND" or self.version is not None:
                raise
            return self._predict(signature, inputs, deadline)

    # -- what the server has

    def metadata(self) -> Metadata:
        """Asks the server for the version and the signatures: names, dtypes, shapes."""
        return self._metadata(Deadline(self._timeout), ask=True)

    @property
    def signatures(self) -> dict[str, Signature]:
        """The signatures by name; the server is asked once."""
        return self._metadata(Deadline(self._timeout)).signatures

    def wait_until_ready(self, timeout: float = 60.0) -> int:
        """Waits until the server answers for the model.

        Args:
          timeout: Seconds, a day at most.

        Returns:
          The newest version that is ready.

        Raises:
          ValueError: On an impossible timeout.
          ServingError: `DEADLINE_EXCEEDED`, with what the server said last.
        """
        end = time.monotonic() + Deadline(timeout).seconds
        while True:
            try:
                return self._newest(Deadline(max(end - time.monotonic(), POLL_SECONDS)))
            except ServingError as error:
                if error.code not in _RETRIED_WHILE_WAITING:
                    raise
                if time.monotonic() + POLL_SECONDS > end:
                    message = f"model {self.name!r} is not ready after {timeout:g} s: {error}"
                    raise ServingError("DEADLINE_EXCEEDED", message) from error
            time.sleep(POLL_SECONDS)

    # -- parts

    def _predict(
        self, name: str, inputs: Mapping[str, object], deadline: Deadline
    ) -> dict[str, np.ndarray]:
        metadata = self._metadata(deadline)
        try:
            signature, arrays = checked(metadata.signatures, name, inputs, self._value_range)
        except ValueError:
            # What fits no longer, or not yet: the newest version may be another by now.
            newest = self._metadata(deadline, ask=True)
            if newest.version == metadata.version:
                raise
            metadata = newest
            signature, arrays = checked(metadata.signatures, name, inputs, self._value_range)
        num_rows = len(next(iter(arrays.values())))
        if num_rows == 0:
            return {key: empty(info) for key, info in signature.outputs.items()}
        pinned = self.version is not None or not self._transport.names_version
        version = metadata.version if pinned else None
        parts = []
        for start in range(0, num_rows, self._max_batch_size):
            part = {k: array[start : start + self._max_batch_size] for k, array in arrays.items()}
            outputs, version = self._open_transport().predict(
                self.name, version, name, signature, part, deadline
            )
            parts.append(outputs)
        if version != metadata.version:
            self._known = None
        return {key: np.concatenate([part[key] for part in parts]) for key in sorted(parts[0])}

    def _metadata(self, deadline: Deadline, ask: bool = False) -> Metadata:
        """What the server says of the version that a call asks; kept until another is the newest.

        By REST an answer does not tell which version gave it, so that there every call asks for
        the newest first and then for that version.
        """
        transport, version = self._open_transport(), self.version
        if version is None and not transport.names_version:
            version = self._newest(deadline)
        known = self._known
        if ask or known is None or known[0] != version:
            known = (version, transport.metadata(self.name, version, deadline))
            self._known = known
        return known[1]

    def _open_transport(self) -> Transport:
        if self._closed:
            raise closed_error()
        return self._transport

    def _newest(self, deadline: Deadline) -> int:
        """The newest version that answers requests; a pinned one if it does."""
        states = self._open_transport().states(self.name, self.version, deadline)
        ready = [version for version, (state, _) in states.items() if state == AVAILABLE]
        if not ready:
            found = "; ".join(f"{v} {' '.join(state).strip()}" for v, state in states.items())
            message = f"no version of model {self.name!r} is ready at {self._transport.address}"
            raise ServingError("NOT_FOUND", f"{message}: {found}")
        return max(ready)
