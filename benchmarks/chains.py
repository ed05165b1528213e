"""A graph of so many hops, one after the other."""

from typing import Any

from cnstra import CNS, collateral, neuron


def chain_of(hops: int) -> CNS:
    names = ["input", *(f"c{hop}" for hop in range(1, hops)), "output"]
    collaterals = [collateral(name, dict[str, int]) for name in names]
    neurons: list[Any] = []
    for hop in range(hops):
        made = neuron(f"n{hop}", {"out": collaterals[hop + 1]})
        neurons.append(
            made.dendrite(collaterals[hop], lambda payload, axon: axon.out.create_signal(payload))
        )
    return CNS(neurons)
