"""What must hold between phases and contracts: references, order, files."""

import posixpath
from collections.abc import Mapping
from itertools import pairwise

from maestro_runtime.config._check_checks import check_checks
from maestro_runtime.config._graph import Graph, comes_before, cycles, ranks
from maestro_runtime.config._names import check_name, check_title, check_unique
from maestro_runtime.config._problems import KeyPath, Problems, shown, unknown
from maestro_runtime.config._tables import ContractTable, DeliverableTable, PhaseTable, TeamFile
from maestro_runtime.workspace import GlobEscapes, check_glob


def check_plan(file: TeamFile, problems: Problems) -> None:
    """Note what is wrong with phases and contracts, one by one and together."""
    phases: dict[str, PhaseTable] = {}
    contracts: dict[str, ContractTable] = {}
    # Of entries with the same name the first one counts, the others are findings.
    for phase in file.phases:
        phases.setdefault(phase.name, phase)
    for contract in file.contracts:
        contracts.setdefault(contract.id, contract)
    _check_phases(file, phases, problems)
    _check_contracts(file, phases, contracts, problems)
    phase_order = {name: _known(phase.after, phases) for name, phase in phases.items()}
    contract_order = {name: _known(item.after, contracts) for name, item in contracts.items()}
    cyclic = [
        *_check_cycles("phases", [phase.name for phase in file.phases], phase_order, problems),
        *_check_cycles("contracts", [item.id for item in file.contracts], contract_order, problems),
    ]
    # Without an order nothing can be said about what runs side by side.
    if not cyclic:
        _check_shared_files(file.contracts, phase_order, contract_order, problems)


def _known(after: tuple[str, ...], entries: Mapping[str, object]) -> tuple[str, ...]:
    """Leave out the names that are a finding of their own."""
    return tuple(name for name in after if name in entries)


def _check_phases(file: TeamFile, phases: dict[str, PhaseTable], problems: Problems) -> None:
    """Note wrong names and references of phases."""
    if not file.phases:
        problems.add(("phases",), "must have at least one [[phases]] table")
    names: list[tuple[str, KeyPath]] = []
    for at, phase in enumerate(file.phases):
        path = ("phases", at)
        check_name(phase.name, (*path, "name"), problems)
        names.append((phase.name, (*path, "name")))
        for position, name in enumerate(phase.after):
            if name not in phases:
                problems.add((*path, "after", position), unknown(name, "phase", phases))
    check_unique(names, problems)


def _check_contracts(
    file: TeamFile,
    phases: dict[str, PhaseTable],
    contracts: dict[str, ContractTable],
    problems: Problems,
) -> None:
    """Note wrong names and references of contracts."""
    if not file.contracts:
        problems.add(("contracts",), "must have at least one [[contracts]] table")
    ids: list[tuple[str, KeyPath]] = []
    for at, contract in enumerate(file.contracts):
        path = ("contracts", at)
        check_name(contract.id, (*path, "id"), problems)
        check_title(contract.name, (*path, "name"), problems)
        ids.append((contract.id, (*path, "id")))
        _check_reference(contract.phase, "phase", phases, (*path, "phase"), problems)
        persona_path = (*path, "provider_persona_id")
        _check_reference(
            contract.provider_persona_id, "persona", file.personas, persona_path, problems
        )
        for position, name in enumerate(contract.after):
            after_path = (*path, "after", position)
            if name not in contracts:
                problems.add(after_path, unknown(name, "contract", contracts))
            elif contract.phase in phases and contracts[name].phase != contract.phase:
                problems.add(after_path, _other_phase(contract, contracts[name]))
        for position, deliverable in enumerate(contract.deliverables):
            _check_deliverable(deliverable, (*path, "deliverables", position), problems)
        check_checks(contract, path, problems)
    check_unique(ids, problems)


def _check_reference(
    name: str, kind: str, entries: Mapping[str, object], path: KeyPath, problems: Problems
) -> None:
    """Note a reference that is missing or leads nowhere."""
    if not name:
        problems.add(path, "is required")
    elif entries and name not in entries:
        # Without any entry that one finding is enough.
        problems.add(path, unknown(name, kind, entries))


def _other_phase(contract: ContractTable, before: ContractTable) -> str:
    """Word that a contract waits for one that is not of its phase."""
    return (
        f"must be a contract of phase {shown(contract.phase)}, "
        f"got {shown(before.id)} of phase {shown(before.phase)}"
    )


def _check_deliverable(deliverable: DeliverableTable, path: KeyPath, problems: Problems) -> None:
    """Note a deliverable that cannot be looked for."""
    check_title(deliverable.name, (*path, "name"), problems)
    if not deliverable.artifacts:
        problems.add((*path, "artifacts"), "must have at least one glob")
    for position, glob in enumerate(deliverable.artifacts):
        try:
            check_glob(glob)
        except GlobEscapes as error:
            problems.add((*path, "artifacts", position), str(error))


def _check_cycles(key: str, names: list[str], order: Graph, problems: Problems) -> list[list[str]]:
    """Note what can never start because it waits for itself, and return it."""
    found = cycles(order)
    for cycle in found:
        path = (key, names.index(cycle[0]), "after")
        problems.add(path, f"must not form a cycle, got {' -> '.join(cycle)}")
    return found


def _check_shared_files(
    contracts: tuple[ContractTable, ...], phases: Graph, after: Graph, problems: Problems
) -> None:
    """Note a file that two contracts may write at the same time; the order has no cycles."""
    phase_ranks, contract_ranks = ranks(phases), ranks(after)
    for writers in _writers_by_file(contracts).values():
        # In an order that respects `after`, all take turns if neighbours do.
        in_order = sorted(
            writers.values(),
            key=lambda writer: (phase_ranks.get(writer[0].phase, 0), contract_ranks[writer[0].id]),
        )
        for (first, _), (then, path) in pairwise(in_order):
            if first.phase == then.phase:
                take_turns = comes_before(after, first.id, then.id)
            else:
                take_turns = comes_before(phases, first.phase, then.phase)
            if not take_turns:
                problems.add(
                    path,
                    "must be delivered by one contract at a time, "
                    f"but {shown(first.id)} delivers the same file and may run at the same time",
                )


def _writers_by_file(
    contracts: tuple[ContractTable, ...],
) -> dict[str, dict[str, tuple[ContractTable, KeyPath]]]:
    """Return, for each path without wildcards, the contracts that deliver it, by id."""
    found: dict[str, dict[str, tuple[ContractTable, KeyPath]]] = {}
    for at, contract in enumerate(contracts):
        for position, deliverable in enumerate(contract.deliverables):
            for index, glob in enumerate(deliverable.artifacts):
                if not set("*?[") & set(glob):
                    path = ("contracts", at, "deliverables", position, "artifacts", index)
                    writers = found.setdefault(posixpath.normpath(glob), {})
                    writers.setdefault(contract.id, (contract, path))
    return found
