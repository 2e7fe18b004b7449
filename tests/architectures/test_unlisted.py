"""Architectures on no list, each wrong in one way: found at load, and then computed rightly or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaForCausalLM,
    LlamaModel,
    apply_rotary_pos_emb,
    repeat_kv,
)

from core.errors import EngineError
from engines.config import ModelConfig
from engines.hf.loading import load_model
from engines.hf.self_check import require_inference
from engines.loading import locate
from engines.tokenization import CHATML
from engines.trees import Tree
from tests.architectures.models import SHAPE, widen
from tests.training.jobs import OPTIM, PPO, SMALL, Vowels, answered, asked
from tests.training.jobs import job as job_of
from training.examples import EncodedAnswer
from training.logprobs import answer_logprobs, collate
from training.packed import PolicyScorer
from training.policy import load_policy, load_reward_policy
from training.rl.reward_sum import WeightedReward
from training.rl.task import RLTask
from training.rl.train import train_ppo
from training.sft import train_sft

CAP = 1.5
TREES = [Tree((5, 6, 7, 8, 9, 10), ((8, 9, 2), (20, 21, 22, 23, 24, 2)))]


class IgnoresMaskConfig(LlamaConfig):
    model_type = "unlisted_ignores_mask"


class IgnoresMask(LlamaForCausalLM):
    """Attends to padding."""

    config_class = IgnoresMaskConfig

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **kwargs: Any) -> Any:
        kwargs["position_ids"] = None  # transformers would find the padding by its positions
        return super().forward(input_ids, **kwargs)


class IgnoresPositionsConfig(GPT2Config):
    model_type = "unlisted_ignores_positions"


class IgnoresPositions(GPT2LMHeadModel):
    """Counts positions from the first column, padding or not."""

    config_class = IgnoresPositionsConfig

    def forward(self, input_ids: Any = None, position_ids: Any = None, **kwargs: Any) -> Any:
        return super().forward(input_ids, **kwargs)


class ForgetsConfig(LlamaConfig):
    model_type = "unlisted_forgets"


class Forgets(LlamaForCausalLM):
    """Decodes with a cache as if there were none."""

    config_class = ForgetsConfig

    def forward(self, input_ids: Any = None, past_key_values: Any = None, **kwargs: Any) -> Any:
        if past_key_values is not None and past_key_values.get_seq_length():
            kwargs |= {"attention_mask": None, "position_ids": None}
            past_key_values = None
        return super().forward(input_ids, past_key_values=past_key_values, **kwargs)


class CarriesConfig(LlamaConfig):
    model_type = "unlisted_carries"


class Carries(LlamaForCausalLM):
    """Adds to each token's embedding the sum of all before it, as a layer with a state would."""

    config_class = CarriesConfig

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **kwargs: Any) -> Any:
        embedded = self.model.embed_tokens(input_ids)
        state = embedded
        if attention_mask is not None and attention_mask.dim() == 2:
            state = embedded * attention_mask[:, -embedded.shape[1] :, None]
        embedded = embedded + 0.3 * state.cumsum(dim=1)
        kwargs["inputs_embeds"] = embedded
        return super().forward(attention_mask=attention_mask, **kwargs)


class CapsScoresConfig(LlamaConfig):
    model_type = "unlisted_caps_scores"


def capped_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float, **kwargs: Any
) -> tuple[Any, Any]:
    scores = query @ repeat_kv(key, module.num_key_value_groups).transpose(2, 3) * scaling
    scores = CAP * torch.tanh(scores / CAP)
    if attention_mask is not None:
        scores = scores + attention_mask
    found = scores.softmax(dim=-1) @ repeat_kv(value, module.num_key_value_groups)
    return found.transpose(1, 2).contiguous(), None


class CappedHeads(LlamaAttention):
    """Caps its scores, under a name that no attention function knows."""

    def forward(
        self,
        hidden_states: Any,
        position_embeddings: Any,
        attention_mask: Any = None,
        past_key_values: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        shape = (*hidden_states.shape[:-1], -1, self.head_dim)
        layers = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (layer(hidden_states).view(shape).transpose(1, 2) for layer in layers)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, capped_attention)
        found, weights = attend(
            self, query, key, value, attention_mask, scaling=self.scaling, tanh_limit=CAP, **kwargs
        )
        return self.o_proj(found.reshape(*hidden_states.shape[:-1], -1).contiguous()), weights


class CapsScoresModel(LlamaModel):
    config_class = CapsScoresConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for number, layer in enumerate(self.layers):
            layer.self_attn = CappedHeads(config, number)
        self.post_init()


class CapsScores(LlamaForCausalLM):
    config_class = CapsScoresConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model = CapsScoresModel(config)
        self.post_init()


class ScalesLogitsConfig(LlamaConfig):
    model_type = "unlisted_scales_logits"


class ScalesLogits(LlamaForCausalLM):
    """Divides its logits after the head."""

    config_class = ScalesLogitsConfig

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits / 3
        return output


class CapsLogitsConfig(LlamaConfig):
    model_type = "unlisted_caps_logits"


class CapsLogits(LlamaForCausalLM):
    """Caps its logits after the head."""

    config_class = CapsLogitsConfig

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = CAP * torch.tanh(output.logits / CAP)
        return output


class ReadsWeightsConfig(LlamaConfig):
    model_type = "unlisted_reads_weights"


class ReadsWeights(LlamaForCausalLM):
    """Multiplies by a layer's weight without calling the layer: an adapter on it acts only when merged."""

    config_class = ReadsWeightsConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for layer in self.model.layers:
            layer.mlp.forward = lambda hidden, mlp=layer.mlp: (
                hidden @ mlp.up_proj.weight.T @ (mlp.down_proj.weight.T)
            )


class SeesLaterTokensConfig(LlamaConfig):
    model_type = "unlisted_sees_later_tokens"


class SeesLaterTokens(LlamaForCausalLM):
    """Adds to each token's embedding the mean of its whole row, as an encoder would."""

    config_class = SeesLaterTokensConfig

    def forward(self, input_ids: Any = None, attention_mask: Any = None, **kwargs: Any) -> Any:
        embedded = self.model.embed_tokens(input_ids)
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        mean = (embedded * real[..., None]).sum(dim=1, keepdim=True) / real.sum(dim=1)[:, None, None]
        kwargs["inputs_embeds"] = embedded + 0.3 * mean
        return super().forward(attention_mask=attention_mask, **kwargs)


KINDS = (
    IgnoresMask,
    IgnoresPositions,
    Forgets,
    Carries,
    CapsScores,
    ScalesLogits,
    CapsLogits,
    ReadsWeights,
    SeesLaterTokens,
)


@pytest.fixture(scope="module")
def written(
    tiny_tokenizer: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Any], Path]:
    """A function that writes a random model of a class and returns its folder."""
    root = tmp_path_factory.mktemp("unlisted")
    AutoModel.register(CapsScoresConfig, CapsScoresModel, exist_ok=True)
    for kind in KINDS:
        AutoConfig.register(kind.config_class.model_type, kind.config_class, exist_ok=True)
        AutoModelForCausalLM.register(kind.config_class, kind, exist_ok=True)

    def write(kind: Any) -> Path:
        folder = root / kind.__name__
        if not folder.exists():
            torch.manual_seed(0)
            model = kind(kind.config_class(**SHAPE))
            widen(model)
            model.save_pretrained(folder)
            tiny_tokenizer(CHATML).save_pretrained(folder)
        return folder

    return write


def model_of(folder: Path) -> Any:
    return load_model(locate(ModelConfig(id=str(folder))), "float32", "cpu")


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(EngineError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def plainly(policy: Any, trees: list[Tree]) -> torch.Tensor:
    rows = [EncodedAnswer(tree.prompt_ids, answer) for tree in trees for answer in tree.answers]
    return answer_logprobs(policy, collate(rows))


@pytest.mark.parametrize("kind", [IgnoresMask, IgnoresPositions, Forgets, Carries])
def test_decoding_that_differs_in_a_batch_is_refused(written: Callable[[Any], Path], kind: Any):
    model = model_of(written(kind))
    message = refusal(lambda: require_inference(model, "some/model"))
    assert message.startswith(f"some/model: {kind.__name__} gives other results in ")


@pytest.mark.parametrize("kind", [ScalesLogits, CapsLogits, ReadsWeights])
def test_what_batched_decoding_can_do_is_accepted(written: Callable[[Any], Path], kind: Any):
    model = model_of(written(kind))
    require_inference(model, "some/model")
    assert model.config._attn_implementation == "publius_grouped"


def test_attention_with_an_unknown_cap_is_computed_eagerly(written: Callable[[Any], Path]):
    folder = written(CapsScores)
    model = model_of(folder)
    assert model.config._attn_implementation == "publius_grouped"
    require_inference(model, "some/model")
    assert model.config._attn_implementation == "eager"
    policy: Any = load_policy(ModelConfig(id=str(folder)), SMALL, "cpu", 0)
    assert policy.config._attn_implementation == "eager"
    assert not PolicyScorer(policy, TREES[0]).packed
    scorer: Any = load_reward_policy(ModelConfig(id=str(folder)), SMALL, "cpu", 0)
    assert scorer.config._attn_implementation == "eager"


@pytest.mark.parametrize("kind", [IgnoresMask, IgnoresPositions])
def test_a_policy_that_is_wrong_in_padded_rows_is_refused(written: Callable[[Any], Path], kind: Any):
    folder = written(kind)
    message = refusal(lambda: load_policy(ModelConfig(id=str(folder)), SMALL, "cpu", 0))
    assert f"{kind.__name__} gives other results in padded rows than for single rows" in message


def test_a_policy_that_reads_the_answer_it_is_to_predict_is_refused(written: Callable[[Any], Path]):
    folder = written(SeesLaterTokens)
    message = refusal(lambda: load_policy(ModelConfig(id=str(folder)), SMALL, "cpu", 0))
    assert "SeesLaterTokens gives other results in a row without its last token than for" in message


def test_sft_is_refused_where_trl_computes_other_logits_than_the_model(
    written: Callable[[Any], Path], tmp_path: Path
):
    own = job_of("sft", tmp_path, str(written(ScalesLogits)), None, OPTIM)
    message = refusal(lambda: train_sft(answered(2), own))
    assert "ScalesLogits gives other results in TRL's loss than for single rows" in message


def test_a_state_that_leaks_across_a_packed_row_is_found(written: Callable[[Any], Path]):
    policy: Any = load_policy(ModelConfig(id=str(written(Carries))), SMALL, "cpu", 0)
    assert not PolicyScorer(policy, TREES[0]).packed


@pytest.mark.parametrize(("kind", "apart"), [(ScalesLogits, True), (CapsLogits, False)])
def test_log_probabilities_are_of_the_logits_that_the_model_returns(
    written: Callable[[Any], Path], kind: Any, apart: bool
):
    policy: Any = load_policy(ModelConfig(id=str(written(kind))), SMALL, "cpu", 0).eval()
    scorer = PolicyScorer(policy, TREES[0])
    assert scorer.packed
    assert (scorer.head is not None) == apart
    with torch.no_grad():
        assert (scorer(policy, TREES) - plainly(policy, TREES)).abs().max() < 1e-4


def test_a_policy_whose_adapter_acts_only_when_merged_is_refused(
    written: Callable[[Any], Path], tmp_path: Path
):
    own = job_of("ppo", tmp_path, str(written(ReadsWeights)), None, OPTIM)
    task = RLTask(asked(4), [WeightedReward(Vowels())])
    message = refusal(lambda: train_ppo(task, own, PPO.model_copy(update={"steps": 1})))
    assert "ReadsWeights gives other results in batched decoding than for single rows" in message


def test_a_check_leaves_no_trace(written: Callable[[Any], Path]):
    before = torch.get_rng_state()
    policy: Any = load_policy(ModelConfig(id=str(written(ScalesLogits))), SMALL, "cpu", 0)
    drawn = torch.get_rng_state()
    torch.set_rng_state(before)
    torch.manual_seed(0)
    again: Any = load_policy(ModelConfig(id=str(written(ScalesLogits))), SMALL, "cpu", 0)
    assert torch.equal(torch.get_rng_state(), drawn)
    weights = again.state_dict()
    for name, weight in policy.state_dict().items():
        assert torch.equal(weight, weights[name])
        assert "lora_B" not in name or not weight.any()
    assert policy.config._attn_implementation == "publius_grouped"
