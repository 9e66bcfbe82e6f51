"""MeanField in one channel against the plain two-label form with unfold.

Both refine the same random masks on the same random pictures; each is timed as a whole call,
kernel included. Prints seconds, the ratio, and the share of labels that agree.

    python benchmarks/bench_mean_field.py     # batch 32, 128 x 128, 100 iterations, one thread
    python benchmarks/bench_mean_field.py --device cuda
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import common  # first: it sets the threads, which libraries read when they are loaded
import torch
import torch.nn.functional as F
from torch import Tensor

from mal_mm.models.losses import MeanField


def two_label_mean_field(
    image: Tensor,
    probs: Tensor,
    box_masks: Tensor,
    num_iters: int,
    zeta: float,
    clamp: tuple[float, float] = (0.1, 0.9),
    epsilon: float = 1e-6,
) -> Tensor:
    """Mean field as a textbook writes it: two labels, gathered neighbours, messages in log space.

    Args:
        image: (N, C, H, W) normalised colours.
        probs: (N, H, W) foreground probability.
        box_masks: (N, H, W) 0 or 1.
        num_iters: number of iterations.
        zeta: colour bandwidth.
        clamp: range of the probabilities.
        epsilon: added to the denominator.

    Returns:
        (N, H, W) uint8 labels.
    """
    N, C, H, W = image.shape
    neighbours = F.unfold(image, 3, padding=1).view(N, C, 9, H, W)
    distance = (neighbours - image[:, :, None]).square().sum(1)
    kernel = torch.exp(-distance / (2 * zeta**2))[:, None]  # (N, 1, 9, H, W)

    foreground = (probs * box_masks).clamp(*clamp)
    q = torch.stack([1 - foreground, foreground], 1)  # (N, 2, H, W)
    for _ in range(num_iters):
        # beyond the edge: log q = 0, no message
        logs = F.unfold(q.log(), 3, padding=1).view(N, 2, 9, H, W)
        messages = (kernel * logs).sum(2).exp()
        q = messages / (messages.sum(1, keepdim=True) + epsilon)
        foreground = (q[:, 1] * box_masks).clamp(*clamp)
        q = torch.stack([1 - foreground, foreground], 1)
    return (q[:, 1] > 0.5).to(torch.uint8)


def make_batch(batch: int, size: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures of several scales of noise, noisy blobs as masks, a box in the middle of each."""

    def noise(channels: int, cells: int) -> Tensor:
        coarse = torch.randn(batch, channels, cells, cells)
        return F.interpolate(coarse, (size, size), mode='bicubic', align_corners=False)

    image = noise(3, 4) + 0.5 * noise(3, 16) + 0.05 * torch.randn(batch, 3, size, size)
    probs = torch.sigmoid(2 * noise(1, 6)[:, 0] + torch.randn(batch, size, size))
    box_masks = torch.zeros(batch, size, size)
    box_masks[:, size // 8 : -size // 8, size // 6 : -size // 6] = 1
    return image.to(device), probs.to(device), box_masks.to(device)


def parse_args() -> argparse.Namespace:
    parser = common.make_parser(__doc__)
    parser.add_argument('--batch', type=int, default=32, help='crops (default: 32)')
    parser.add_argument('--size', type=int, default=128, help='mask cells a side (default: 128)')
    parser.add_argument('--iters', type=int, default=100, help='iterations (default: 100)')
    parser.add_argument(
        '--zeta', type=float, nargs='+', default=[0.1, 0.5], help='(default: 0.1 0.5)'
    )
    parser.add_argument('--rounds', type=int, default=2, help='runs of each form (default: 2)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, ... (default: cpu)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.manual_seed(args.seed)
    on_cpu = torch.device(args.device).type == 'cpu'
    common.set_clock(args.clock if on_cpu else 'wall')
    batch = make_batch(args.batch, args.size, args.device)
    print(common.machine(args.device))
    print(
        f'batch {args.batch}, {args.size} x {args.size}, {args.iters} iterations; '
        f'median (best) of {args.rounds} runs'
    )

    for zeta in args.zeta:
        mean_field = MeanField(num_iters=args.iters, zeta=zeta)

        def one_channel(mean_field: MeanField = mean_field) -> Tensor:
            return finish(mean_field(*batch))

        @torch.no_grad()
        def plain(zeta: float = zeta) -> Tensor:
            return finish(two_label_mean_field(*batch, args.iters, zeta))

        def plain_flushed(plain: Callable[[], Tensor] = plain) -> Tensor:
            torch.set_flush_denormal(True)
            try:
                return plain()
            finally:
                torch.set_flush_denormal(False)

        works = {'MeanField': one_channel, 'plain two-label': plain}
        if (
            on_cpu
        ):  # MeanField flushes denormals by itself, so the plain form is tried with that too
            works['plain two-label, denormals flushed'] = plain_flushed
        timings = common.time_in_turn(works, args.rounds, warmup=0 if on_cpu else 1)
        ours = timings['MeanField']
        print(f'zeta {zeta}')
        for name, timing in timings.items():
            print(
                f'  {name:<36} {common.seconds(timing)}'
                f'   {timing.median / ours.median:5.1f} x ({timing.best / ours.best:.1f})'
            )
        same = float((ours.result == timings['plain two-label'].result).double().mean())
        share = float(ours.result.double().mean())
        print(f'  labels that agree {same:.6f}; share of foreground {share:.3f}')


def finish(labels: Tensor) -> Tensor:
    """Wait for the GPU."""
    if labels.is_cuda:
        torch.cuda.synchronize()
    return labels


if __name__ == '__main__':
    main()
