"""The run file: the sections of all packages in one model, read with positions, overrides and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from constitution.loader import preset_names
from core.errors import ConfigError, shell_command
from core.records import Split
from core.settings import ADDED, OPERATIONAL, Section
from core.store.files import is_there
from core.text.explain import MisfitError
from core.text.yaml_file import parse_yaml, read_yaml, validate
from critique.config import CompareConfig, CritiqueConfig, SampleConfig
from engines.config import ROLES, EngineConfig, ModelConfig, ModelsConfig
from evaluation.config import ChooseConfig, EvalConfig
from evaluation.gates.config import Gate, flattened
from evaluation.refusals.prompts import BUILT_IN_PROMPTS
from labelers.config import LabelConfig
from prompts.conditions import WantedValue
from prompts.sources import Duplicates, Html, Quotes, ToolTurns, may_be_on_hub
from publius.config.bounds import unusable
from publius.config.deadline import Deadline
from publius.config.overrides import build_config, refuse_misplaced, with_overrides
from publius.config.recipe import recipe_names, with_recipe
from publius.config.scale import ScaleConfig
from publius.config.short_forms import expand_short_forms
from training.config import DPOConfig, LoraConfig, OptimConfig, RewardConfig, SFTConfig
from training.distill.config import DistillConfig
from training.methods import METHODS, ON_POLICY_METHODS, RL_METHODS, Method, OnPolicyMethod, RLMethod
from training.rl.config import GRPOConfig, OnPolicyConfig, PPOConfig, RLConfig, RLOOConfig

_HAS_ADAPTER = (
    "models.policy already has an adapter and training adds its own; merge it first (publius export --model)"
)

_TRAINS_NOTHING = {"trains": False}
"""What the validators of a run file are told by what reads it and trains nothing."""

OWN_REWARDS = (REWARD_MODEL, CHECKS, LABELER_REWARD) = ("reward", "checks", "labeler")
"""Names in `rewards` of PPO, RLOO and GRPO for rewards that the run itself provides."""


TRAINABLE = "models.policy with engine kind transformers or vllm, or no training: train: []"
"""Where the policy of a training may be."""


def untrainable(models: ModelsConfig, engine: EngineConfig) -> str | None:
    """Return why a policy cannot be trained because of the engine that runs it, or None."""
    kind = engine.for_model(models.policy, "policy").kind
    if kind == "scripted":
        return "the scripted engine has no weights to train"
    if kind == "http":
        return f"{models.policy.id} is behind a server (engine.kind: http), which does not give its weights"
    return None


PromptColumn = Literal["prompt", "messages", "input", "system", "tags", "source", "split"]
PairColumn = Literal["chosen", "rejected", "response_a", "response_b", "origin_a", "origin_b"]
"""Our columns that a user's column can be mapped to: of prompts, and of pairs for `label --pairs`."""
SplitName = Annotated[str, Field(min_length=1, max_length=200)]
PromptSplit = Literal["train", "preference", "test", "all"]
"""Keys of `prompts.split`: a split of the run, or `all` for rows that get one as rows of a file do."""
ColumnPath = Annotated[str, Field(min_length=1, max_length=1000)]


class PromptsConfig(Section):
    """Where prompts come from."""

    path: Path
    """A `.jsonl`, `.json`, `.yaml`, `.csv`, `.tsv`, `.txt` (each also `.gz`) or `.parquet` file or a data set
    folder, relative to the run file; or a Hugging Face id."""
    limit: int | None = Field(default=None, ge=1)
    """Maximum number of training prompts, taken in the order of the file. Test prompts are always kept:
    `eval.prompts` limits how many of them are answered."""
    subset: str | None = Field(default=None, min_length=1, json_schema_extra=ADDED)
    """Subset (configuration) of a data set that has several."""
    split: SplitName | dict[PromptSplit, SplitName] | None = Field(default=None, json_schema_extra=ADDED)
    """Split of a data set; `train[:1000]` takes the first thousand rows. Default: train, or the only one. Or
    the data set's split for each one of the run, for example `{train: train, test: heldout}`: `train`,
    `preference` and `test` whatever the rows say, `all` by the shares of `split`. Of a file with a column
    `split`, the words in it."""
    columns: dict[PromptColumn | PairColumn, ColumnPath] = Field(default={}, json_schema_extra=ADDED)
    """Your column for each of ours, for example `{prompt: question, tags: category}`; `data.question` is a
    key in a column, `turns[0]` an entry of a list, `tags: type+label` the tags of two columns. Columns of
    answers are for `publius label --pairs`."""
    where: dict[ColumnPath, WantedValue | tuple[WantedValue, ...]] = Field(
        default={}, json_schema_extra=ADDED
    )
    """Only rows whose columns have these values, or one of a list of values, for example `{consent: true,
    market: [DE, UK]}`; also at a path such as `meta.topic`. After a name that ends in `!`, as in `status!:
    rejected`, the values that they must not have. Text in a table equals the value that it
    spells (`"true"`, true). Rows left out are counted and listed, with the condition."""
    keep: tuple[str, ...] | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """Columns of yours to carry to the export, or paths into them such as `meta.topic`. Default: all that
    are not read and have at most 1,000 characters on average, but none named `annotator`; `[]` carries
    none."""
    duplicates: Duplicates = Field(default="exact", json_schema_extra=ADDED)
    """Prompts to skip: `keep`, none; `exact`, those with the messages and tags of an earlier prompt (the same
    text with other tags is another case, under other principles); `normalised`, also those
    that differ only in case, spacing and punctuation; `near`, also near-duplicates (Jaccard similarity of
    letter 4-grams of at least 0.8, without those that more than 10 prompts and 5 % of all share, such as
    those of a template) with as many turns. Near-duplicates that are used are counted, and are in one
    split."""
    html: Html | None = Field(default=None, json_schema_extra=ADDED)
    """What becomes of HTML in prompts and given answers, as in exports of help desks: `text` reads it as the
    text that a browser shows (paragraphs and `<br>` are line breaks, other tags go, `&amp;` is `&`; code
    between backticks stays), `keep` leaves it. Default: it is kept, with a warning."""
    quotes: Quotes | None = Field(default=None, json_schema_extra=ADDED)
    """What becomes of quoted mail and signatures in prompts and given answers, as in exports of help desks:
    `drop` leaves out what a mail program quoted below a line such as `On ... wrote:`, `From: ... Sent: ...`
    or `-----Original Message-----`, and a signature below `-- `; `keep` leaves both. Default: they are kept,
    with a warning."""
    tools: ToolTurns = Field(default="skip", json_schema_extra=ADDED)
    """What becomes of conversations with calls of tools: `skip` leaves them out, `drop` reads them without
    the turns that only call tools and without the tools' results. One whose last question was answered with
    a tool, or of which no conversation is left, is skipped by both."""


class SplitConfig(Section):
    """Shares of the splits among prompts without a split of their own. They must sum to 1.

    A hash of a prompt's text draws its split: a prompt keeps its split when others are added or removed, and
    shares are met on average, not exactly. Of 16 prompts and a share of 0.25, 1 to 7 get it in 96 of 100
    cases. For exact numbers, give each prompt a `split`.
    """

    train: float = Field(default=0.45, ge=0.0, le=1.0)
    """Share for critique and revision, and for supervised training on the revisions."""
    preference: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share for comparisons only. If drafts are compared with revisions, these prompts are also revised."""
    test: float = Field(default=0.05, ge=0.0, le=1.0)
    """Share held out for evaluation."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = self.train + self.preference + self.test
        if abs(total - 1) > 1e-6:
            given = ", ".join(f"{name} {share:g}" for name, share in self.shares().items())
            raise ValueError(
                f"the shares sum to {total:g} ({given}) but must sum to 1; set another one too{self._hint()}"
            )
        return self

    def _hint(self) -> str:
        """Return the setting that makes the shares sum to 1 by the share of `preference`, if one does."""
        rest = round(1 - self.train - self.test, 6)
        return f", such as --set split.preference={rest:g}" if 0 <= rest <= 1 else ""

    def shares(self) -> dict[Split, float]:
        """Return the share of each split."""
        return {"train": self.train, "preference": self.preference, "test": self.test}


class TimeConfig(Section):
    """The time allowed for a run, from the start of its command; `publius steer` sets it.

    Rounds of DPO that would end too late are skipped, with a warning; a stage that has begun is never
    stopped, and the choice and the evaluation always run.
    """

    minutes: float | None = Field(default=None, gt=0.0, allow_inf_nan=False, json_schema_extra=OPERATIONAL)
    """Minutes allowed; null for no limit."""
    reserve: float = Field(default=0.0, ge=0.0, allow_inf_nan=False, json_schema_extra=OPERATIONAL)
    """Minutes at the end for the choice of the checkpoint and the evaluation."""
    round: float = Field(default=0.0, ge=0.0, allow_inf_nan=False, json_schema_extra=OPERATIONAL)
    """Expected minutes of one round: comparisons, labels and DPO."""

    def deadline(self, started_s: float) -> Deadline | None:
        """Return the deadline of a command that started then, by `time.monotonic`; None without a limit."""
        if self.minutes is None:
            return None
        return Deadline(60 * self.minutes, 60 * self.reserve, 60 * self.round, started_s)


class CacheConfig(Section):
    """The project's request cache, which all of its runs share."""

    max_gb: float | None = Field(default=None, gt=0.0, allow_inf_nan=False, json_schema_extra=OPERATIONAL)
    """Size in GB (10^9 bytes) above which the answers used longest ago are evicted; null for no bound. An
    evicted answer is asked again when a run needs it."""
    name: str = Field(
        default="cache", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", json_schema_extra=OPERATIONAL
    )
    """Name of its file in `.publius`. Shards on several machines that share the project's folder take one
    each (`--set cache.name=shard-3`): such a file is for the processes of one machine."""

    @property
    def max_bytes(self) -> int | None:
        """The bound in bytes; None for no bound."""
        return None if self.max_gb is None else round(self.max_gb * 10**9)


class TrainingSections(Section):
    """Settings that all training shares, on a run or on a data set."""

    lora: LoraConfig = LoraConfig()
    """The LoRA adapter to train."""
    optim: OptimConfig = OptimConfig()
    """Settings that all training methods share."""
    sft: SFTConfig = SFTConfig()
    """Supervised fine-tuning."""
    reward: RewardConfig = RewardConfig()
    """The reward model."""
    dpo: DPOConfig = DPOConfig()
    """Direct preference optimization."""

    @model_validator(mode="before")
    @classmethod
    def _accept_short_forms(cls, value: object) -> object:
        return expand_short_forms(value)

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        if found := list(unusable(self)):
            raise MisfitError(found)
        return self


class StageSections(Section):
    """Settings of the stages before training, and the list of training methods."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """First part of the run folder's name."""
    recipe: str | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """A recipe, which gives every setting that the file does not set: `compliance`, for a policy that follows
    the machine checks of the constitution. `resolved.yaml` has the values."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random draw of the run."""
    constitution: str
    """A constitution file, relative to the run file, or the name of a preset."""
    prompts: PromptsConfig
    """Where prompts come from: a path or Hugging Face id, or a mapping with `path` and other settings."""
    split: SplitConfig = SplitConfig()
    """Shares of the splits."""
    models: ModelsConfig
    """The models of the four roles."""
    engine: EngineConfig = EngineConfig()
    """Engine that runs the models, and its limits."""
    templates: Path | None = Field(default=None, json_schema_extra=OPERATIONAL)
    """A folder of `.j2` files, relative to the run file, that replace the built-in templates of requests:
    `critique`, `revision`, `comparison`, `pointwise`, `system`, and for typed questions `decision_pair`,
    `decision_reply`, `decision_question`, and those of the labeler's further modes. `publius init --templates
    DIR` writes all of them to edit. The run's identity has their text, not their place."""
    critique: CritiqueConfig = CritiqueConfig()
    """The critique-and-revise loop."""
    sample: SampleConfig = Field(default=SampleConfig(), json_schema_extra=ADDED)
    """Answers sampled from the policy and scored."""
    compare: CompareConfig = CompareConfig()
    """Which answers to compare."""
    label: LabelConfig = LabelConfig()
    """How comparisons are judged."""
    train: tuple[Method, ...] = ()
    """Methods to train: `sft` trains the policy on the revisions, `reward` a reward model and `dpo` the
    policy, both on the preferences, `ppo`, `rloo` and `grpo` the policy against rewards, and `distill` the
    policy on what it does itself with the constitution in its prompt."""

    @model_validator(mode="after")
    def _judge_has_principles(self) -> Self:
        if self.critique.judge and not self.label.principles:
            raise ValueError("critique.judge is set, but label.principles is 0, so nothing is judged")
        return self


class RunConfig(TrainingSections, StageSections):
    """All settings of a run, as given in `run.yaml`.

    The order of the base classes is that of the fields in `resolved.yaml`: the order of the stages.
    """

    ppo: PPOConfig = PPOConfig()
    """Proximal policy optimization."""
    rloo: RLOOConfig = RLOOConfig()
    """REINFORCE leave-one-out: the baseline of an answer is the mean reward of its prompt's other answers."""
    grpo: GRPOConfig = GRPOConfig()
    """Group relative policy optimization."""
    distill: DistillConfig = Field(default=DistillConfig(), json_schema_extra=ADDED)
    """On-policy distillation from the policy with the constitution in its prompt."""
    choose: ChooseConfig | None = Field(default=None, json_schema_extra=ADDED)
    """Choice of the checkpoint to keep, on prompts held out from training; `{}` for the default limits. Not
    set: the run chooses none."""
    eval: EvalConfig = EvalConfig()
    """Evaluation at the end of the run."""
    gates: dict[str, Gate] = Field(default={}, json_schema_extra=OPERATIONAL)
    """Limits of metrics of the evaluation, such as `{compliance: ">= 0.8", win_rate.low: ">= 0.5"}`. A failed
    gate ends `publius eval` with exit code 1, and the run is not exported without `--force`."""
    time: TimeConfig = Field(default=TimeConfig(), json_schema_extra=ADDED)
    """The time allowed for the run."""
    cache: CacheConfig = Field(default=CacheConfig(), json_schema_extra=ADDED)
    """The project's request cache."""
    scale: ScaleConfig = Field(default=ScaleConfig(), json_schema_extra=OPERATIONAL)
    """Where the data stages are done: in this process, or by workers on a Ray cluster."""

    @model_validator(mode="before")
    @classmethod
    def _fills_in_the_recipe(cls, value: object) -> object:
        return with_recipe(expand_short_forms(value))

    @field_validator("gates", mode="before")
    @classmethod
    def _joins_names_of_gates(cls, value: object) -> object:
        return flattened(value)

    @field_validator("recipe")
    @classmethod
    def _names_a_recipe(cls, name: str | None) -> str | None:
        if name is not None and name not in recipe_names():
            raise ValueError(f"unknown recipe {name!r}; accepted: {', '.join(recipe_names())}")
        return name

    @model_validator(mode="after")
    def _trains_what_it_builds_on(self) -> Self:
        if len(set(self.train)) < len(self.train):
            raise ValueError(f"train lists a method twice: {', '.join(self.train)}")
        if "sft" not in self.train:
            paired = not self.train or not set(self.train) <= set(ON_POLICY_METHODS)
            if self.compare.source == "sft" and paired:
                raise ValueError("compare.from is sft, but train does not list sft")
            for method in ("reward", "dpo", *ON_POLICY_METHODS):
                if method in self.train and getattr(self, method).init == "sft":
                    raise ValueError(f"{method}.init is sft, but train does not list sft")
        for method in ON_POLICY_METHODS:
            if method in self.train and self.on_policy(method).init == "dpo" and "dpo" not in self.train:
                raise ValueError(f"{method}.init is dpo, but train does not list dpo")
        if self.train and self.models.policy.adapter is not None:
            raise ValueError(_HAS_ADAPTER)
        return self

    @model_validator(mode="after")
    def _trains_what_it_evaluates(self) -> Self:
        if self.eval.best_of is not None and self.train and "reward" not in self.train:
            raise ValueError("eval.best_of needs a reward model, but train does not list reward")
        return self

    @model_validator(mode="after")
    def _trains_on_its_labels(self) -> Self:
        furthest = self.label.reasoned_clamp - 0.5
        if self.label.mode == "reasoned" and "dpo" in self.train and self.dpo.min_margin > furthest:
            raise ValueError(
                f"dpo.min_margin is {self.dpo.min_margin:g}, which excludes every label of label.mode "
                f"reasoned: they are at most {furthest:.2g} from one half (label.reasoned_clamp)"
            )
        return self

    @model_validator(mode="after")
    def _gives_each_role_an_engine(self, info: ValidationInfo) -> Self:
        for role in ROLES:
            model = getattr(self.models, role)
            if isinstance(model, ModelConfig):
                self.engine.for_model(model, role)  # it raises
        trains = self.train and info.context != _TRAINS_NOTHING
        if trains and (reason := untrainable(self.models, self.engine)):
            raise ValueError(f"train lists {self.train[0]}, but {reason}; accepted: {TRAINABLE}")
        return self

    def with_strict_gates(self) -> Self:
        """Return the settings with gates that also fail where they are inconclusive."""
        strict = {
            name: gate.model_copy(update={"on_inconclusive": "fail"}) for name, gate in self.gates.items()
        }
        return self.model_copy(update={"gates": strict})

    def rl(self, method: RLMethod) -> RLConfig:
        """Return the section of a method that learns from rewards."""
        return {"ppo": self.ppo, "rloo": self.rloo, "grpo": self.grpo}[method]

    def on_policy(self, method: OnPolicyMethod) -> OnPolicyConfig:
        """Return the section of a method that learns from the policy's own answers."""
        return self.distill if method == "distill" else self.rl(method)


class DataTrainingConfig(TrainingSections):
    """Settings for training on the user's own data set."""

    seed: int = Field(default=0, ge=0)
    """Seed of every random draw."""
    models: ModelsConfig
    """The model to train, under `policy`."""
    engine: EngineConfig = EngineConfig()
    """Device to train on."""

    @model_validator(mode="after")
    def _trains_a_bare_model(self) -> Self:
        if self.models.policy.adapter is not None:
            raise ValueError(_HAS_ADAPTER)
        if self.sft.source == "samples":
            raise ValueError("sft.from is samples, but only a run samples answers")
        if self.engine.for_model(self.models.policy, "policy").kind == "http":
            raise ValueError(f"{untrainable(self.models, self.engine)}; accepted: engine.kind: transformers")
        return self


def load_run_config(
    path: Path, overrides: Sequence[str] = (), unsaved: str | None = None, *, trains: bool = True
) -> RunConfig:
    """Return the run file as a configuration with absolute paths.

    Args:
        path: the run file.
        overrides: `a.b=value` each, with the value in YAML. They take precedence over the file.
        unsaved: text of an editor, which is read in place of the file.
        trains: False for what trains nothing, so that `train` may list what the policy's engine cannot do.

    Raises:
        ConfigError: for every mistake in the file or the overrides, with its position.
    """
    document = read_yaml(path) if unsaved is None else parse_yaml(unsaved, path)
    _refuse_constitution(path, document.value)
    context = None if trains else _TRAINS_NOTHING
    value = with_overrides(RunConfig, document.value, overrides, context)
    refuse_misplaced(overrides, path.parent)
    return _with_absolute_paths(validate(document, RunConfig, value, context), path.parent)


def load_stages_config(path: Path, overrides: Sequence[str], stages: Sequence[str]) -> RunConfig:
    """Return the run file as the configuration of some of its stages; of all of them if none is given.

    If none of the stages trains, a policy that its engine cannot train is no mistake. The run is then the one
    with `train: []`.

    Raises:
        ConfigError: as `load_run_config`.
    """
    if not stages or set(stages) & set(METHODS):
        return load_run_config(path, overrides)
    config = load_run_config(path, overrides, trains=False)
    if config.train and untrainable(config.models, config.engine):
        return load_run_config(path, (*overrides, "train=[]"))
    return config


def _refuse_constitution(path: Path, value: object) -> None:
    """Raise an error for a file that is a constitution.

    Raises:
        ConfigError: The file has principles.
    """
    if isinstance(value, list) or (isinstance(value, dict) and value.keys() & {"principles", "extends"}):
        raise ConfigError(
            "this is a constitution, not a run file",
            where=str(path),
            accepted=f"a run file with a line 'constitution: {path.name}'",
            run=shell_command("publius", "check", path),
        )


def build_run_config(value: dict[str, Any], overrides: Sequence[str] = ()) -> RunConfig:
    """Return the configuration of a run whose values come from code, with the user's overrides.

    Raises:
        ConfigError: for a mistake in an override.
    """
    return _with_absolute_paths(build_config(RunConfig, value, overrides), Path())


def _with_absolute_paths(config: RunConfig, folder: Path) -> RunConfig:
    prompts = config.prompts.model_copy(update={"path": _prompts_path(folder, config.prompts.path)})
    named = config.constitution
    # A file takes precedence over a preset of the same name.
    if named not in preset_names() or is_there(folder / named):
        named = str((folder / named).resolve())
    rewarded: dict[str, RLConfig] = {
        method: _with_absolute_rewards(config.rl(method), folder) for method in RL_METHODS
    }
    humans = tuple((folder / path.expanduser()).resolve() for path in config.label.humans)
    correction = config.label.correction
    if correction is not None:
        correction = (folder / correction.expanduser()).resolve()
    label = config.label.model_copy(update={"humans": humans, "correction": correction})
    refusals = config.eval.refusals
    if refusals is not None and refusals != BUILT_IN_PROMPTS:
        refusals = str((folder / Path(refusals).expanduser()).resolve())
    gold = tuple((folder / path.expanduser()).resolve() for path in config.eval.gold)
    templates = None if config.templates is None else (folder / config.templates.expanduser()).resolve()
    changed = {
        "prompts": prompts,
        "constitution": named,
        "templates": templates,
        "label": label,
        "eval": config.eval.model_copy(update={"refusals": refusals, "gold": gold}),
        **rewarded,
    }
    return config.model_copy(update=changed)


def _prompts_path(folder: Path, path: Path) -> Path:
    """Return the absolute path of the prompts; a Hugging Face id, if no file has its name, as it is."""
    full = folder / path.expanduser()
    if may_be_on_hub(path) and not is_there(full):
        return path
    return full.resolve()


def _with_absolute_rewards(section: RLConfig, folder: Path) -> RLConfig:
    rewards = {_beside(folder, name): weight for name, weight in section.rewards.items()}
    gold = None if section.gold is None else _beside(folder, section.gold)
    return section.model_copy(update={"rewards": rewards, "gold": gold})


def _beside(folder: Path, name: str) -> str:
    """Return a reward's name, with a path in it resolved relative to the run file."""
    if name in OWN_REWARDS:
        return name
    path, colon, function = name.partition(".py:")
    full = folder / Path(path + colon.rstrip(":")).expanduser()
    return f"{full.resolve()}:{function}" if colon else str(full.resolve()) if is_there(full) else name
