"""SAM-GoogLeNet-BN and a training step in PyTorch, for comparison with ours.

A separate program, so that each library has its own threads and memory. It reads a number of steps from stdin, runs
them, and prints the wall-clock and CPU seconds per step; until stdin ends.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
from torch import Tensor, nn


def conv(in_channels: int, channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution that keeps the size, except for its stride."""
    return nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2)


class Inception(nn.Module):
    """See `facekp.models.sam_googlenet.Inception`."""

    def __init__(self, in_channels: int, c1: int, c3: tuple[int, int], c5: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.branch1 = conv(in_channels, c1, 1)
        self.branch3_reduce, self.branch3 = conv(in_channels, c3[0], 1), conv(c3[0], c3[1], 3)
        self.branch5_reduce, self.branch5 = conv(in_channels, c5[0], 1), conv(c5[0], c5[1], 5)
        self.pool, self.branch_pool = nn.MaxPool2d(3, 1, 1), conv(in_channels, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, c1 + c3[1] + c5[1] + pool, H, W)."""
        branches = [
            self.branch1(x),
            self.branch3(self.branch3_reduce(x)),
            self.branch5(self.branch5_reduce(x)),
            self.branch_pool(self.pool(x)),
        ]
        return torch.relu(torch.cat(branches, 1))


class SpatialAttention(nn.Module):
    """See `facekp.models.sam_googlenet.SpatialAttention`."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling
        normed = pooling == "cbam"
        conv = nn.Conv2d(2, 1, 7, padding=3, bias=not normed)
        self.conv = nn.Sequential(conv, nn.BatchNorm2d(1)) if normed else conv

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        strongest = x.argmax(1, keepdim=True).to(x.dtype) if self.pooling == "argmax" else x.amax(1, keepdim=True)
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), strongest], 1)))


class SAMGoogLeNetBN(nn.Module):
    """See `facekp.models.sam_googlenet.SAMGoogLeNetBN`; its parts have the same names."""

    def __init__(self, num_points: int = 68, attention: str = "max") -> None:
        super().__init__()
        self.module1 = nn.Sequential(conv(3, 64, 7, 2), nn.ReLU())
        self.module2 = nn.Sequential(conv(64, 64, 1), nn.ReLU(), conv(64, 192, 3), nn.ReLU())
        self.module3 = nn.Sequential(
            Inception(192, 64, (96, 128), (16, 32), 32), Inception(256, 128, (128, 192), (32, 96), 64)
        )
        self.module4 = nn.Sequential(
            Inception(480, 192, (96, 208), (16, 48), 64),
            Inception(512, 160, (112, 224), (24, 64), 64),
            Inception(512, 128, (128, 256), (24, 64), 64),
            Inception(512, 112, (144, 288), (32, 64), 64),
            Inception(528, 256, (160, 320), (32, 128), 128),
        )
        self.module5 = nn.Sequential(
            Inception(832, 256, (160, 320), (32, 128), 128), Inception(832, 384, (192, 384), (48, 128), 128)
        )
        self.attentions = nn.ModuleList([SpatialAttention(attention) for _ in range(4)])
        self.pools = nn.ModuleList([*(nn.MaxPool2d(3, 2, 1) for _ in range(4)), nn.AdaptiveAvgPool2d(1)])
        # Paddle's momentum of the running statistics weights the old value, PyTorch's the new one: 0.9 and 0.1.
        self.pool_norms = nn.ModuleList([nn.BatchNorm2d(channels) for channels in (64, 192, 480, 832, 1024)])
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 2 * num_points))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 2 * num_points)."""
        modules = (self.module1, self.module2, self.module3, self.module4, self.module5)
        for module, attention, pool, norm in zip(
            modules, (*self.attentions, nn.Identity()), self.pools, self.pool_norms
        ):
            x = norm(pool(attention(module(x))))
        return self.head(self.dropout(x).flatten(1))


def main() -> None:
    """Run the requested steps until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attention", default="max")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network = SAMGoogLeNetBN(attention=args.attention).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=2e-3)
    loss = nn.SmoothL1Loss()
    images, labels = torch.rand(args.batch, 3, args.size, args.size), torch.rand(args.batch, 136)

    def step() -> None:
        loss(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    for line in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        seconds = time.perf_counter() - clock, time.process_time() - processor
        print(*(each / int(line) for each in seconds), flush=True)


if __name__ == "__main__":
    main()
