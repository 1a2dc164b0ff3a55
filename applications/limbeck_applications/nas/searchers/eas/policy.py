"""The policy of EAS: a network that reads a network's layers and decides what to change, and learns by REINFORCE.

Paper: Cai et al., "Efficient Architecture Search by Network Transformation" (arXiv:1707.04873), section 3: a
bidirectional LSTM reads the layers; an actor decides for each of them whether it is widened, another where a layer is
added and how large its kernel is; both learn by REINFORCE (Williams 1992). Public code: han-cai/EAS (MIT). Written from
the paper.

What is the same: embeddings of 16 numbers, 50 units a direction, poolings read as layers, a sigmoid for each layer, an
LSTM that is started from the encoder's last state for the three decisions of a deepening, Adam, the weight of the
entropy. What differs: stages that are full have no probability, as places that do not exist have none; numbers are
float64 on the CPU, so that a search that is repeated decides the same; and the learning rate is greater than the
paper's 2e-3, since a search of tens of networks gives a handful of updates where the paper had hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from limbeck_applications.nas.searchers.eas.controllers import Action, Controller, Decision, stage_of
from limbeck_applications.nas.staged import StagedSpace, Stages

EMBEDDING, UNITS = 16, 50
"""Numbers of a layer's embedding, and units of each direction of the encoder: those of the paper."""


class Reader(nn.Module):
    """The policy's network.

    Args:
        widths: number of widths of the space.
        kernels: number of kernels.
        stages: number of stages.
        layers: layers that a stage may have.
    """

    def __init__(self, widths: int, kernels: int, stages: int, layers: int) -> None:
        super().__init__()
        decisions = (stages, layers, kernels)
        self.tokens = nn.Embedding(widths * kernels + 1, EMBEDDING)
        self.encoder = nn.LSTM(EMBEDDING, UNITS, bidirectional=True)
        self.wider = nn.Linear(2 * UNITS, 1)
        self.decoder = nn.LSTMCell(EMBEDDING, 2 * UNITS)
        self.given = nn.ModuleList(nn.Embedding(size, EMBEDDING) for size in (1, *decisions[:-1]))
        self.deeper = nn.ModuleList(nn.Linear(2 * UNITS, size) for size in decisions)

    @torch.no_grad()
    def drawn(self, chance: torch.Generator) -> Reader:
        """Return this network in float64 on the CPU, with weights drawn by ``chance`` alone."""
        self.to_empty(device="cpu").double()
        for parameter in self.parameters():
            parameter.uniform_(-(UNITS**-0.5), UNITS**-0.5, generator=chance)
        return self

    def read(self, tokens: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return what is known of each token, [tokens, 2 units], and the last state, twice [1, 2 units]."""
        known, (hidden, cell) = self.encoder(self.tokens(tokens))
        return known, (hidden.reshape(1, -1), cell.reshape(1, -1))

    def choose(self, number: int, given: int, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the logits of one of the three decisions, given the one before it, and the next state."""
        last = self.given[number](torch.tensor([given]))
        hidden, cell = self.decoder(last, state)
        return self.deeper[number](hidden)[0], (hidden, cell)


class Policy(Controller):
    """Decides by a network that reads the layers, and learns by REINFORCE."""

    def __init__(self, space: StagedSpace, chance: torch.Generator, lr: float, entropy: float) -> None:
        super().__init__(space, chance, lr, entropy)
        options = space.ladder
        with torch.device("meta"):
            reader = Reader(len(options.widths), len(options.kernels), options.stages, options.layers)
        self.reader = reader.drawn(chance)
        self.optimizer = torch.optim.Adam(self.reader.parameters(), lr=lr)

    @torch.no_grad()
    def widen(self, stages: Stages) -> Action:
        """Draw for each layer whether it is widened."""
        chances = torch.sigmoid(self._wider(stages)).tolist()
        pairs = zip(self.growing(stages), chances, strict=True)
        return Action(tuple(place for place, chance in pairs if self.pick([1 - chance, chance])))

    @torch.no_grad()
    def deepen(self, stages: Stages) -> Action:
        """Draw stage, place and kernel, one after the other."""
        found: list[int] = []
        state = self.reader.read(self._tokens(stages))[1]
        for number in range(3):
            allowed, logs, state = self._choice(number, stages, found, state)
            found.append(allowed[self.pick(logs.exp())])
        return Action(deepen=(found[0], found[1], found[2]))

    def learn(self, episode: Sequence[Sequence[Decision]], rewards: Sequence[float]) -> None:
        """Make decisions that were rewarded likelier: one step on the mean over the networks of an episode."""
        if not any(map(len, episode)):
            return
        terms, entropies = [], []
        for decisions, reward in zip(episode, rewards, strict=True):
            for decision in decisions:
                log, entropy = self.log_chance(decision)
                terms.append(log * reward)
                entropies.append(entropy)
        loss = -torch.stack(terms).sum() / len(rewards) - self.entropy * torch.stack(entropies).mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def log_chance(self, decision: Decision) -> tuple[Tensor, Tensor]:
        """Return the logarithm of a decision's probability, and the mean entropy of what was drawn for it."""
        stages, action = decision.stages, decision.action
        if action.deepen is None:
            logits = self._wider(stages)
            drawn = torch.tensor([float(place in action.widen) for place in self.growing(stages)], dtype=logits.dtype)
            chance = torch.distributions.Bernoulli(logits=logits)
            return chance.log_prob(drawn).sum(), chance.entropy().mean()  # type: ignore[no-untyped-call]
        state, log, entropy = self.reader.read(self._tokens(stages))[1], [], []
        for number, own in enumerate(action.deepen):
            allowed, logs, state = self._choice(number, stages, action.deepen[:number], state)
            log.append(logs[allowed.index(own)])
            entropy.append(-(logs.exp() * logs).sum())
        return torch.stack(log).sum(), torch.stack(entropy).mean()

    def _wider(self, stages: Stages) -> Tensor:
        """Return the logits of the layers that can be wider."""
        known = self.reader.read(self._tokens(stages))[0]
        places = [place + stage for place, stage in enumerate(stage_of(stages))]
        growing = [places[place] for place in self.growing(stages)]
        logits: Tensor = self.reader.wider(known[growing])[:, 0]
        return logits

    def _choice(
        self, number: int, stages: Stages, before: Sequence[int], state: tuple[Tensor, Tensor]
    ) -> tuple[Sequence[int], Tensor, tuple[Tensor, Tensor]]:
        """Return what one of the three decisions can be, the log-probabilities of these, and the next state."""
        logits, state = self.reader.choose(number, before[-1] if before else 0, state)
        if number == 0:
            allowed: Sequence[int] = self.open(stages)
        else:
            allowed = range(len(stages[before[0]]) if number == 1 else len(logits))
        return allowed, torch.log_softmax(logits[list(allowed)], 0), state

    def _tokens(self, stages: Stages) -> Tensor:
        """Return a number for each layer, and one for the pooling that ends each stage."""
        options, found = self.space.ladder, list[int]()
        for layers in stages:
            for width, kernel in layers:
                found.append(options.widths.index(width) * len(options.kernels) + options.kernels.index(kernel))
            found.append(len(options.widths) * len(options.kernels))
        return torch.tensor(found)
