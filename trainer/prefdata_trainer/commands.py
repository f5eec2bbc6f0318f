"""``prefdata train dpo``, ``orpo``, ``kto`` and ``reward``. Importing this module loads no deep-learning package."""

from __future__ import annotations

import click

from prefdata_trainer.options import POSITIVE, Number, option, trainer_command
from prefdata_trainer.settings import LOSSES, DpoSettings, KtoSettings, OrpoSettings, RewardSettings

REFERENCE = option(
    "--model-ref", metavar="MODEL", help="Separate reference model. [default: the model before training]"
)
BETA = option("--beta", type=POSITIVE, default=0.1, help="How strongly the reference holds.")
THEIRS = (
    "Flags of TRL's {config} and ModelConfig and of PEFT's LoraConfig follow DATASET by their own names, as in "
    "--warmup_steps 10 --use_dora true --load_in_4bit{more}."
)
DPO = (
    REFERENCE,
    BETA,
    option(
        "--loss-type",
        type=click.Choice(LOSSES),
        multiple=True,
        default=["sigmoid"],
        help="A loss of TRL's; repeatable, and then summed.",
    ),
    option("--loss-weights", type=float, multiple=True, help="Weight of each --loss-type, in order."),
    option(
        "--weight-by",
        type=click.Choice(["margin", "probability"]),
        help="Weigh each pair's loss by its margin, or by how sure its judges were.",
    ),
    option(
        "--smoothing",
        type=click.Choice(["conservative", "robust"]),
        help="Expect some labels to be wrong: each pair's 1 - probability, or --disagreement of them.",
    ),
    option(
        "--disagreement",
        type=Number(0, 0.5, max_open=True),
        help="The measured share of wrong labels, as of prefdata agree.",
    ),
    option("--margin-offset", type=POSITIVE, metavar="ALPHA", help="Demand more of pairs with a larger margin (ODPO)."),
    option(
        "--offset-of",
        type=click.Choice(["log", "linear"]),
        default="log",
        help="The offset is ALPHA times the margin, or its logarithm.",
    ),
    option("--fast/--no-fast", default=True, help="Compute TRL's own loss and gradient in less time."),
    option(
        "--prefix-sharing",
        type=click.Choice(["auto", "on", "off"]),
        default="auto",
        help="Compute what both sides of a pair begin with once: where it is less work and the model allows it, or "
        "always.",
    ),
    option(
        "--group-by-length/--no-group-by-length",
        default=None,
        help="Batches of pairs of similar length. [default: where the losses are means over pairs]",
    ),
    option(
        "--reference-cache",
        metavar="DIR",
        help="Where the reference's log-probabilities are kept for later runs, or off. [default: prefdata/references "
        "in the user's cache folder]",
    ),
)


@trainer_command(
    "dpo",
    "prefdata_trainer.dpo:Dpo",
    DpoSettings,
    DPO,
    short_help="Direct Preference Optimization of a causal language model, with LoRA by default.",
    epilog=THEIRS.format(config="DPOConfig", more=" --precompute_ref_log_probs false"),
)
def dpo() -> None:
    """Train on DATASET, a folder written by prefdata validate, and write ADAPTER.

    Only a dataset whose manifest and hashes hold is taken. Tokens are those of the model's own chat template; the loss
    is on what the assistant wrote after the shared prompt. Stopped (Ctrl-C, SIGTERM) or killed and run again, the same
    command continues from the last whole checkpoint, kept in ADAPTER.state until ADAPTER is finished.
    """


@trainer_command(
    "orpo",
    "prefdata_trainer.orpo:Orpo",
    OrpoSettings,
    (option("--beta", type=POSITIVE, default=0.1, help="Weight of the odds-ratio term (lambda in the paper)."),),
    short_help="Odds Ratio Preference Optimization: imitation and preference in one, without a reference.",
    epilog=THEIRS.format(config="ORPOConfig", more=""),
)
def orpo() -> None:
    """Train on DATASET by ORPO (Hong et al. 2024) and write ADAPTER.

    The loss imitates the chosen side and pushes its odds above those of the rejected side; both over the same tokens
    as dpo trains. It is TRL's experimental trainer.
    """


@trainer_command(
    "kto",
    "prefdata_trainer.kto:Kto",
    KtoSettings,
    (REFERENCE, BETA),
    short_help="Kahneman-Tversky Optimization: every side for itself, desirable or not.",
    epilog=THEIRS.format(config="KTOConfig", more=" --undesirable_weight 1.5"),
)
def kto() -> None:
    """Train on DATASET by KTO (Ethayarajh et al. 2024) and write ADAPTER.

    Each pair gives one desirable and one undesirable example, over the same tokens as dpo trains, in an order drawn
    once from the seed. --batch-size counts sides and must be 2 or more.
    """


@trainer_command(
    "reward",
    "prefdata_trainer.reward:Reward",
    RewardSettings,
    (
        option(
            "--use-margin", is_flag=True, help="Demand that rewards differ by more than the pair's margin (Llama 2)."
        ),
    ),
    without=("loss_on",),
    short_help="A reward model: one number for a conversation, higher for what was chosen.",
    epilog=THEIRS.format(config="RewardConfig", more=" --center_rewards_coefficient 0.01"),
)
def reward() -> None:
    """Train a reward model on DATASET (Bradley-Terry loss) and write ADAPTER.

    The base model gets a head with one output, read at the end of the last answer.
    """
