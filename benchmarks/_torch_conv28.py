"""The 28x28 sigma-VAE in PyTorch: the peer that our training path is timed against.

Architecture and settings as stated for the paper's published experiments (Rybkin et al. 2021):
three convolutions, latent of 20, three transposed convolutions, Adam at 1e-3, batch 128, the
analytic scale of the whole batch.
"""

import contextlib
import math

import torch
from torch import nn

from benchmarks._arithmetic import LATENT_SIZE

LEARNING_RATE = 1e-3


class ConvVAE(nn.Module):
    """A convolutional VAE on `[B, C, 28, 28]` images in [0, 1]."""

    def __init__(self, channels: int = 1):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 32, kernel_size=3, stride=1, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.posterior_loc = nn.Linear(7 * 7 * 128, LATENT_SIZE)
        self.posterior_log_variance = nn.Linear(7 * 7 * 128, LATENT_SIZE)
        self.decoder = nn.Sequential(
            nn.Linear(LATENT_SIZE, 7 * 7 * 128),
            nn.Unflatten(1, (128, 7, 7)),
            nn.ConvTranspose2d(128, 64, kernel_size=6, stride=2, padding=2),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, kernel_size=6, stride=2, padding=2),
            nn.ReLU(),
            nn.ConvTranspose2d(32, channels, kernel_size=5, stride=1, padding=2),
            nn.Sigmoid(),
        )

    def forward(self, x):
        """Returns the reconstruction `[B, C, 28, 28]` and the posterior's two parameters."""
        features = self.encoder(x)
        loc = self.posterior_loc(features)
        log_variance = self.posterior_log_variance(features)
        z = loc + torch.exp(0.5 * log_variance) * torch.randn_like(loc)
        return self.decoder(z), loc, log_variance


def negative_elbo(x, reconstruction, loc, log_variance):
    """Returns the batch's mean of distortion + rate in nats, at the optimal scale (Eq. 5)."""
    x, reconstruction = x.float(), reconstruction.float()
    loc, log_variance = loc.float(), log_variance.float()
    error = torch.square(x - reconstruction)
    variance = error.mean()
    density = 0.5 * (error / variance + torch.log(variance) + math.log(2 * math.pi))
    rate = 0.5 * (torch.square(loc) + torch.exp(log_variance) - 1.0 - log_variance)
    return (density.sum() + rate.sum()) / x.shape[0]


class TorchTrainer:
    """Trains `ConvVAE` on images in memory, shuffled every epoch.

    Args:
      images: uint8 `[N, 28, 28, C]`.
      batch_size: images a step.
      setting: "authors" (eager float32, as their code is published) or "best" (channels_last,
        bfloat16 autocast, fused Adam).
    """

    def __init__(self, images, batch_size: int, setting: str):
        if setting not in ("authors", "best"):
            raise ValueError(f"setting must be 'authors' or 'best', not {setting!r}")
        torch.manual_seed(0)
        self._best = setting == "best"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # uint8 in memory, divided on use: a data loader with workers would only be slower here.
        data = torch.from_numpy(images).permute(0, 3, 1, 2)
        layout = torch.channels_last if self._best else torch.contiguous_format
        self._images = data.contiguous(memory_format=layout).to(self._device)
        self._batch_size = batch_size
        self._layout = layout
        self._model = ConvVAE(images.shape[-1]).to(self._device, memory_format=layout)
        self._optimizer = torch.optim.Adam(
            self._model.parameters(), lr=LEARNING_RATE, fused=True if self._best else None
        )
        self._batches = self._endless_batches()

    def _endless_batches(self):
        count = self._images.shape[0]
        while True:
            order = torch.randperm(count, device=self._device)
            for start in range(0, count - self._batch_size + 1, self._batch_size):
                yield self._images[order[start : start + self._batch_size]]

    def run(self, steps: int) -> float:
        """Runs training steps and returns the loss of the last one, in nats an image."""
        loss = torch.tensor(torch.nan)
        for _ in range(steps):
            x = next(self._batches).to(torch.float32).div_(255.0)
            x = x.contiguous(memory_format=self._layout)
            with self._autocast():
                outputs = self._model(x)
            loss = negative_elbo(x, *outputs)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
        return loss.item()

    def _autocast(self):
        if self._best:
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    @property
    def parameter_count(self) -> int:
        """Number of trainable numbers, to compare with ours."""
        return sum(parameter.numel() for parameter in self._model.parameters())
