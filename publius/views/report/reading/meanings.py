"""Meanings of the metrics that training logs, in one phrase each, for whoever shows their values.

Most names are TRL's. Log-probabilities and divergences are in nats.
"""

from __future__ import annotations

import re

_EVALUATED = "eval_"
_MEANINGS = {
    "loss": "what training minimises, mean over the batch",
    "grad_norm": "length of the gradient before it is clipped",
    "learning_rate": "step size of the optimizer",
    "lr": "step size of the optimizer",
    "epoch": "passes over the data",
    "entropy": "mean uncertainty of the next token, nats",
    "mean_token_accuracy": "share of tokens that the model would have chosen itself",
    "num_tokens": "tokens read so far",
    "accuracy": "share of pairs whose chosen answer has the higher score",
    "margin": "score of the chosen answer minus that of the rejected one",
    "mean_reward": "mean score of both answers",
    "logps/chosen": "log-probability of the chosen answer, nats",
    "logps/rejected": "log-probability of the rejected answer, nats",
    "logratios/chosen_per_token": "change of the chosen answer's log-probability against the reference, nats "
    "per token; below 0 it became less likely",
    "rewards/chosen": "beta times the change of the chosen answer's log-probability against the reference",
    "rewards/rejected": "beta times the change of the rejected answer's log-probability",
    "rewards/margins": "rewards/chosen minus rewards/rejected; it should rise",
    "rewards/accuracies": "share of pairs with a margin above 0; at the first step the model is the "
    "reference, so all pairs are ties and the share is 0",
    "edits/nll": "mean negative log-probability of the edited tokens, nats",
    "edits/kl": "divergence from the start at the other tokens, nats per token",
    "edits/learned": "share of the tokens that are learned",
    "episode": "answers drawn so far",
    "kl_coef": "reward subtracted for a nat of divergence",
    "frac_reward_zero_std": "share of prompts whose answers all have the same reward, which teach nothing",
    "objective/kl": "divergence from the reference model, nats per answer",
    "objective/kl_per_token": "divergence from the reference model, nats per token",
    "objective/kl_k2": "that divergence by another estimator (k2), which is never negative",
    "objective/kl_k3": "that divergence by a third estimator (k3), with less noise",
    "objective/kl_to_teacher": "divergence from the model with the constitution in its prompt, nats a token",
    "objective/entropy": "uncertainty of the answers, nats per answer",
    "objective/scores": "mean reward of the answers; it should rise",
    "objective/non_score_reward": "reward subtracted for divergence",
    "objective/rlhf_reward": "reward less what is subtracted for divergence",
    "policy/entropy_avg": "mean uncertainty of the next token, nats; near 0 all answers are alike",
    "policy/approxkl_avg": "how far one update moved the policy, nats per token",
    "policy/clipfrac_avg": "share of tokens whose change was clipped",
    "policy/grad_norm": "length of the policy's gradient before it is clipped",
    "policy/grad_norm_max": "longest gradient of the policy in the step",
    "critic/explained_variance": "share of the variance of returns that the critic predicts; 1 is all",
    "critic/grad_norm": "length of the critic's gradient before it is clipped",
    "critic/grad_norm_max": "longest gradient of the critic in the step",
    "critic/lr": "step size of the critic's optimizer",
    "loss/policy_avg": "loss of the policy",
    "loss/value_avg": "loss of the critic: squared error of its predictions",
    "loss/sft_avg": "loss of the mixed-in supervised examples",
    "val/ratio": "probability of the tokens after an update over that before; 1 is no change",
    "val/ratio_var": "variance of that ratio of probabilities over the tokens",
    "val/clipfrac_avg": "share of the critic's predictions whose change was clipped",
    "val/num_eos_tokens": "answers that ended by themselves",
    "completions/mean_length": "mean length of the answers, tokens",
    "completions/mean_terminated_length": "mean length of the answers that ended by themselves, tokens",
    "completions/clipped_ratio": "share of answers cut at max_new_tokens",
    "completions/repetitive": "share of answers that repeat themselves",
    "completions/boilerplate": "share of answers with the most frequent phrase of five words",
    "eval/reward": "mean reward on held-out prompts",
    "eval/gold": "mean of the reward that is not trained on, on held-out prompts",
    "sampling/sampling_logp_difference/mean": "distance between the log-probabilities of trainer and sampler "
    "for the same tokens, nats; it should be near 0",
    "sampling/sampling_logp_difference/max": "largest distance between them, nats",
}
_PATTERNS = {
    r"rewards/(.+)/mean": "mean of the reward {0}",
    r"rewards/(.+)/std": "standard deviation of the reward {0}",
    r"rewards/(.+)/missing": "share of answers that the reward {0} could not score",
    r"eval/completions/(.+)": "as completions/{0}, on held-out prompts",
    r"eval/rewards/(.+)": "as rewards/{0}, on held-out prompts",
    r"sampling/importance_sampling_ratio/(.+)": "{0} probability of a token, trainer over sampler",
}


def metric_meaning(name: str) -> str:
    """Return what a metric of a training log is; empty if that is not known."""
    if name in _MEANINGS:
        return _MEANINGS[name]
    if name.startswith(_EVALUATED) and (meaning := metric_meaning(name.removeprefix(_EVALUATED))):
        return f"{meaning}, on held-out examples"
    for pattern, meaning in _PATTERNS.items():
        if found := re.fullmatch(pattern, name):
            return meaning.format(*found.groups())
    return ""
