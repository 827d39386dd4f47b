"""What an engine says of itself, so that a change of it does not go unseen."""

import os
from pathlib import Path

import pytest

from maestro_actors.team import CommandSpec, Persona, Team
from maestro_actors.versions import versions_of
from maestro_runtime import __version__
from maestro_runtime.engines import EngineRegistry, VersionedEngine, builtin_engines
from maestro_runtime.starting.readiness import current_versions
from two_phases import two_phases


@pytest.fixture
def registry() -> EngineRegistry:
    return EngineRegistry(builtin_engines("0" * 32))


def version(registry: EngineRegistry, persona: Persona) -> str:
    engine = registry.get(persona.engine)
    assert isinstance(engine, VersionedEngine)
    return engine.version(persona)


def command(*argv: str) -> Persona:
    return Persona(persona_id="dev", engine="command", command=CommandSpec(argv=argv))


def test_a_program_is_another_one_once_its_bytes_are(
    tmp_path: Path, registry: EngineRegistry
) -> None:
    program = tmp_path / "work.py"
    program.write_text("one")
    first = version(registry, command("python3", str(program)))
    assert version(registry, command("python3", str(program))) == first

    program.write_text("two")
    # Two writes within one tick of the clock of the file system have the same instant.
    os.utime(program, ns=(0, 0))

    assert version(registry, command("python3", str(program))) != first
    assert version(registry, command("python3", str(program), "-v")) != first


@pytest.mark.parametrize("argument", ["/", "/no/such", "/a\0b", "relative.py", "--x=/etc/passwd"])
def test_an_argument_that_is_no_file_is_only_a_text(
    registry: EngineRegistry, argument: str
) -> None:
    assert version(registry, command("python3", argument)).endswith(f"{argument}\0")


def test_a_persona_without_a_command_has_no_version(registry: EngineRegistry) -> None:
    assert version(registry, Persona(persona_id="dev", engine="command")) == ""


def test_a_function_is_another_one_once_its_source_is(
    tmp_path: Path, registry: EngineRegistry
) -> None:
    def of(body: str, module: str) -> str:
        (tmp_path / f"{module}.py").write_text(f"def work(task):\n    {body}\n")
        persona = Persona(
            persona_id="dev",
            engine="python",
            callable=f"{module}:work",
            import_dir=str(tmp_path),
        )
        return version(registry, persona).partition("\0")[2]

    assert of("return None", "worker_a") == of("return None", "worker_b") != ""
    assert of("return None", "worker_a") != of("return 'x'", "worker_c")


@pytest.mark.parametrize("reference", ["builtins:len", "no_such_module:work", None])
def test_a_function_without_a_source_has_no_version(
    registry: EngineRegistry, reference: str | None
) -> None:
    assert version(registry, Persona(persona_id="dev", engine="python", callable=reference)) == ""


def test_a_rehearsal_is_as_old_as_the_runtime(registry: EngineRegistry) -> None:
    assert version(registry, Persona(persona_id="dev")) == __version__


def test_versions_name_every_contract_and_persona_and_the_engines_that_can_tell(
    registry: EngineRegistry,
) -> None:
    team: Team = two_phases()

    found = current_versions(team, registry)

    assert [(item.kind, item.name) for item in found] == [
        ("contract", "note"),
        ("contract", "review"),
        ("persona", "reviewer"),
        ("persona", "writer"),
        ("engine", "reviewer"),
        ("engine", "writer"),
    ]
    assert {len(item.digest) for item in found} == {64}
    assert found == current_versions(two_phases(), registry)
    assert versions_of(team, {}) == found[:4]
