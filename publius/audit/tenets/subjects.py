"""The models of an audit by tenet: the variants that answer, their engine, and the judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from constitution.loader import load_constitution
from constitution.schema import Constitution
from core.errors import ConfigError
from core.store.files import is_there
from engines.adapter import SETTINGS, read_settings
from engines.config import EngineConfig, ModelConfig, ModelEngineConfig, ModelsConfig
from evaluation.config import BASE, STEERED, EvalSampling
from prompts.environment import PromptTemplates
from prompts.user_templates import user_templates
from publius.config.run_file import RunConfig
from publius.runs.inputs import recorded_config
from publius.runs.manifest import MANIFEST
from publius.runs.one_model import engine_settings, project_of
from publius.runs.parts.trained import trained_adapter, trained_model
from training.checkpoints import RESULT
from training.methods import POLICY_METHODS

PROMPTED_NAME = "prompted"


@dataclass(frozen=True)
class ModelAuditRequest:
    """Options of `publius audit model`."""

    targets: Sequence[str]
    """Run folders, folders of adapters or models, or Hugging Face ids."""
    scenarios: Path
    to: Path
    constitution: str | None = None
    """None for that of the first run."""
    judge: str | None = None
    """A model, or the folder of a trained judge; None for `models.judge` of the run."""
    base: str | None = None
    """The model that adapters without a run are attached to; None for the one that they name."""
    engine: str | None = None
    judge_engine: str | None = None
    """Engine of the judge and of the simulated user."""
    user: str | None = None
    """The model that plays the user; None for the messages in the file."""
    samples: int = 1
    max_new_tokens: int | None = None
    temperature: float | None = None
    seed: int = 0
    all_tenets: bool = False
    """Rate every conversation under every tenet whose scope includes it, not only under its own."""
    prompted: bool = True
    """Audit the first model with the constitution as its system prompt, too."""
    cited: int = 2
    """Violations of each tenet and variant that are cited."""
    sheet: int = 20
    """Ratings of each judged tenet on the sheet for people."""
    max_violations: float | None = None
    estimate: bool = False


@dataclass(frozen=True)
class AuditSubject:
    """A variant that answers the scenarios."""

    name: str
    model: ModelConfig
    prompted: bool = False
    trained: Path | None = None
    """Folder of the training; None for a model as it is."""


@dataclass(frozen=True)
class AuditSubjects:
    """Everything that is audited, and by what."""

    subjects: tuple[AuditSubject, ...]
    """The first is the baseline."""
    models: ModelsConfig
    """The baseline's model as the policy, and the judge."""
    engine: EngineConfig
    constitution: Constitution
    templates: PromptTemplates
    sampling: EvalSampling
    project: Path
    """Folder of the request cache and of the judge's certificates."""
    user: ModelConfig | None
    labelers: tuple[str, ...] = ()
    """Models whose labels the trained variants learned from."""

    @property
    def judged_for_limit(self) -> tuple[str, ...]:
        """The names of the variants that `--max-violations` is about: trained ones, or else all."""
        trained = tuple(one.name for one in self.subjects if one.trained is not None)
        return trained or tuple(one.name for one in self.subjects if not one.prompted)


def audit_subjects(request: ModelAuditRequest) -> AuditSubjects:
    """Return what a request names.

    Raises:
        ConfigError: if an option, a run's settings or the constitution is invalid.
    """
    if not request.targets:
        raise ConfigError(
            "no model is named", where="RUN|MODEL", accepted="a run folder, a model or an adapter"
        )
    runs = [recorded_config(Path(one).resolve()) for one in request.targets if _is_run(Path(one))]
    first = runs[0] if runs else None
    engine = first.engine if first else EngineConfig()
    if request.engine is not None or "scripted" in request.targets:
        engine = engine_settings(request.engine or "scripted")
    subjects = tuple(_named(_all(request)))
    judge = _other_model(request.judge, request.judge_engine) or (first.models.judge if first else None)
    return AuditSubjects(
        subjects=subjects,
        models=ModelsConfig(policy=subjects[0].model, judge=judge),
        engine=engine,
        constitution=_constitution(request),
        templates=user_templates(first.templates) if first else PromptTemplates(),
        sampling=_sampling(request, first),
        project=_project(request),
        user=_other_model(request.user, request.judge_engine),
        labelers=tuple(dict.fromkeys(run.models.of("labeler").id for run in runs)),
    )


def _is_run(path: Path) -> bool:
    return is_there(path / MANIFEST)


def _all(request: ModelAuditRequest) -> Iterator[tuple[str, AuditSubject]]:
    """Yield the subjects of each target, in order, with the target's name."""
    for number, target in enumerate(request.targets):
        found = list(_of_run(Path(target)) if _is_run(Path(target)) else _of_model(target, request.base))
        bare = found[0]
        if number == 0 and request.prompted:
            found.insert(1, replace(bare, name=PROMPTED_NAME, prompted=True))
        for subject in found:
            yield Path(target).name or target, subject


def _of_run(folder: Path) -> Iterator[AuditSubject]:
    """Yield the policy of a run before training, and after each method that has finished."""
    policy = recorded_config(folder.resolve()).models.policy
    yield AuditSubject(BASE, policy)
    for method in (*POLICY_METHODS, STEERED):
        trained = trained_adapter(folder.resolve(), method)
        if trained is not None:
            yield AuditSubject(method, trained_model(trained, policy), trained=trained)


def _of_model(target: str, base: str | None) -> Iterator[AuditSubject]:
    """Yield a model as it is, or the model of an adapter and then the adapter."""
    folder, name = Path(target), Path(target).name or target
    if not target.strip():
        raise ConfigError("the name of a model is empty", where="RUN|MODEL", accepted="a model or a folder")
    if not is_there(folder / SETTINGS):
        trained = folder.resolve() if is_there(folder / RESULT) else None
        yield AuditSubject(name, ModelConfig(id=target), trained=trained)
        return
    named = base or read_settings(folder).get("base_model_name_or_path")
    if not named:
        raise ConfigError(
            "the adapter does not name its model", where=target, accepted="--base MODEL, its model"
        )
    bare = ModelConfig(id=str(named))
    yield AuditSubject(BASE, bare)
    yield AuditSubject(
        name, bare.model_copy(update={"adapter": str(folder.resolve())}), trained=folder.resolve()
    )


def _named(found: Iterator[tuple[str, AuditSubject]]) -> Iterator[AuditSubject]:
    """Yield each subject once, with a name of its own: that of its target is put before one that is taken."""
    seen: set[tuple[str, bool]] = set()
    names: set[str] = set()
    for target, subject in found:
        what = (subject.model.model_dump_json(), subject.prompted)
        if what in seen:
            continue
        seen.add(what)
        name = subject.name if subject.name not in names else f"{target}/{subject.name}"
        number = 2
        while name in names:
            name, number = f"{target}/{subject.name} {number}", number + 1
        names.add(name)
        yield replace(subject, name=name)


def _other_model(name: str | None, engine: str | None) -> ModelConfig | None:
    """Return the model of the judge or of the simulated user, which do not think before they answer."""
    if name is None:
        return None
    if not name.strip():
        raise ConfigError("the name is empty", where="--judge", accepted="a model or the folder of a judge")
    own = None
    if engine is not None or name == "scripted":
        settings = engine_settings(engine or "scripted")
        own = ModelEngineConfig.model_validate(settings.model_dump(mode="json", exclude_unset=True))
    return ModelConfig(id=name, chat_template_kwargs={"enable_thinking": False}, engine=own)


def _constitution(request: ModelAuditRequest) -> Constitution:
    if request.constitution is not None:
        return load_constitution(request.constitution)
    run = next((Path(one) for one in request.targets if _is_run(Path(one))), None)
    if run is None:
        raise ConfigError(
            "no constitution is named", where="--constitution", accepted="a file, or the name of a preset"
        )
    return load_constitution(run.resolve() / "constitution.yaml")


def _project(request: ModelAuditRequest) -> Path:
    """Return the project of the first run, else that of the constitution."""
    run = next((Path(one) for one in request.targets if _is_run(Path(one))), None)
    return run.resolve().parent.parent if run else project_of(str(request.constitution))


def _sampling(request: ModelAuditRequest, run: RunConfig | None) -> EvalSampling:
    """Return the sampling of the run's evaluation with the options; several samples are not greedy."""
    found = run.eval.sampling if run else EvalSampling()
    changed: dict[str, float | int] = {}
    if request.max_new_tokens is not None:
        changed["max_new_tokens"] = request.max_new_tokens
    if request.temperature is not None:
        changed["temperature"] = request.temperature
    sampling = EvalSampling.model_validate({**found.model_dump(), **changed})
    if request.samples > 1 and sampling.temperature == 0:
        raise ConfigError(
            f"{request.samples} samples of greedy replies are all the same",
            where="--samples",
            accepted="--samples 1, or --temperature above 0",
        )
    return sampling
