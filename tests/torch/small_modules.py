"""Small PyTorch modules, each with one thing that tests look for."""

import dataclasses

import torch
from torch import nn


def small_cnn(num_classes=5):
    """Convolutions, a batch normalization, dropout, and a ReLU in place."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(12, num_classes),
    )


@dataclasses.dataclass
class Outputs:
    """As Hugging Face's outputs are."""

    loss: object
    logits: torch.Tensor
    hidden_states: tuple


class Returns(nn.Module):
    """Returns what `give` makes of its logits and its map."""

    def __init__(self, give):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5)
        self.give = give

    def forward(self, images):
        maps = self.act(self.stem(images))
        return self.give(self.head(maps.mean((2, 3))), maps)


class Inner(nn.Module):
    """Wraps another module, whose several outputs it uses."""

    def __init__(self, inner, pick):
        super().__init__()
        self.inner, self.pick = inner, pick

    def forward(self, images):
        return self.pick(self.inner(images))


class Tied(nn.Module):
    """Two convolutions with one kernel, and a tensor that is a plain attribute."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.second.weight = self.first.weight
        self.scale = torch.tensor([1.0, 2, 3])

    def forward(self, images):
        return self.second(self.first(images)).mean((2, 3)) * self.scale


class Does(nn.Module):
    """A submodule called `odd` that does `do` to a map, before the classes."""

    def __init__(self, do):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.odd = Odd(do)
        self.head = nn.Linear(4, 5)

    def forward(self, images):
        return self.head(self.odd(self.stem(images)).mean((2, 3)))


class Odd(nn.Module):
    """Does what it is told."""

    def __init__(self, do):
        super().__init__()
        self.do = do
        self.table = [torch.ones(4, 1, 1)]  # neither a parameter nor a buffer

    def forward(self, maps):
        return self.do(self, maps)


class Transformer(nn.Module):
    """Patches, a class token, and two blocks of torch's own attention."""

    def __init__(self, width=16, num_classes=5):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        for _ in range(2):
            tokens = tokens + self.attention(tokens, tokens, tokens)[0]
        return self.head(self.norm(tokens)[:, 0])
