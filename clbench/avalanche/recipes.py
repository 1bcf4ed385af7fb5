"""Every class of ``avalanche.training.supervised``: what is odd about it, or why it cannot run here."""

from __future__ import annotations

from avalanche.models.packnet import PackNetModel

from clbench.avalanche.recipe import (
    Recipe,
    columns,
    embedding,
    generator,
    mlp_only,
    one_memory_batch,
    projecting,
    pruned_in_time,
    split_of,
    two_batches,
    whole_batches_of_each_class,
)

_DOUBLED = (
    "a batch holds batch_size current and batch_size replayed samples from the second experience on,"
    " and an epoch ends when the larger of experience and memory was seen, not the experience"
)
_LATE = "the memory is offered an experience after it was learnt, not batch by batch"
_UNMASKED = "its own cross-entropy replaces the masked one: units of classes not yet seen compete"
_OWN_LOSS = "its own loss replaces the masked cross-entropy"
_BATCH_MEANS = (
    "importances square the gradient of a batch's mean loss, not each sample's: they"
    " depend on batch_size"
)
_UNIFORM = "before the first experience (and for a task not learnt) every unit scores the same"
_EVERY_TASK = (
    "memory_size is shared out beforehand: memory_size // T samples of each of T experiences"
)

RECIPES: dict[str, Recipe] = {
    "AETraining": Recipe("trains an autoencoder: it predicts no class"),
    "AGEM": Recipe(quirks=(_EVERY_TASK,)),
    "AR1": Recipe(
        "makes its own MobileNet for 128×128 colour images and downloads its weights; it takes no"
        " other network"
    ),
    "BiC": Recipe("calls MultiStepLR(verbose=…), an argument that torch no longer has"),
    "CWRStar": Recipe(
        quirks=(
            "all but the last layer is frozen after the first experience; its bias is not reset",
        ),
        given={"cwr_layer_name": lambda _: "classifier"},
    ),
    "CoPE": Recipe(
        quirks=(
            "the network has p_size outputs, an embedding; its loss is that of pseudo-prototypes",
            "an experience ends after its first batch: made for streams of batches, not of tasks",
            "answers one class with 1, the others with 0, so a mask of unlike classes can hide its"
            " answer",
            _UNIFORM,
        ),
        network=embedding,
        given={"n_classes": lambda parts: parts.info.classes},
        answers_untrained=False,
    ),
    "Cumulative": Recipe(
        quirks=(
            "goes on training one network on all data so far (our joint takes a fresh one); the data"
            " count as memory",
        )
    ),
    "DER": Recipe(
        quirks=(
            "beta=0.5 makes it DER++; beta=0 is DER",
            "logits are stored after an experience, not when a sample is seen; one replayed batch"
            " serves both losses",
            _UNMASKED + " once it replays",
        )
    ),
    "ER_ACE": Recipe(
        quirks=(
            "the memory holds samples of the current experience from its beginning",
            _OWN_LOSS + " once it replays",
        )
    ),
    "ER_AML": Recipe(
        quirks=(
            "the memory holds samples of the current experience from its beginning",
            _OWN_LOSS + " once it replays",
        ),
        given={"feature_extractor": lambda parts: split_of(parts).feature_extractor},
        refusal=whole_batches_of_each_class,
        class_batches=True,
    ),
    "EWC": Recipe(
        quirks=(
            _BATCH_MEANS,
            "the penalty is λ Σ F Δ², without the paper's ½: ewc_lambda counts twice",
            "mode=separate keeps a copy of the parameters for every experience",
        )
    ),
    "ExpertGateStrategy": Recipe(
        "needs Avalanche's ExpertGate network, which downloads AlexNet and takes 224×224 colour images"
    ),
    "FeatureReplay": Recipe(
        quirks=("features are stored once and grow stale as the network learns", _OWN_LOSS),
        given={"last_layer_name": lambda _: "classifier"},
        refusal=one_memory_batch,
    ),
    "FromScratchTraining": Recipe(
        quirks=("each experience is learnt by a fresh network, of the same initial weights",)
    ),
    "GDumb": Recipe(
        quirks=("a fresh network, of the same initial weights, is trained on the memory alone",)
    ),
    "GEM": Recipe(quirks=(_EVERY_TASK,)),
    "GSS_greedy": Recipe(
        given={"input_size": lambda parts: list(parts.info.shape)},
        refusal=two_batches,
        quirks=(
            "batches are doubled as in Replay; places of the memory that are still empty are replayed"
            " as blank images of class 0",
        ),
    ),
    "GenerativeReplay": Recipe(
        given={"generator_strategy": generator},
        quirks=(
            "the generator is Avalanche's variational autoencoder with two latent numbers, Adam at"
            " lr 0.01, batch_size and epochs as given",
            "generated images are normalised as MNIST's whatever the data",
            "a batch holds as many generated samples as current ones, unweighted",
        ),
    ),
    "ICaRL": Recipe(
        quirks=(
            "class means average the features of an exemplar and of its mirror image, also of digits",
            "⌈memory_size / classes⌉ exemplars per class can exceed memory_size",
            "binary cross-entropy over all units replaces the masked cross-entropy",
            _UNIFORM,
        ),
        given={
            "feature_extractor": lambda parts: split_of(parts).feature_extractor,
            "classifier": lambda parts: split_of(parts).classifier,
            "buffer_transform": lambda _: None,
            "fixed_memory": lambda _: True,
        },
        answers_untrained=False,
        new_classes_only=True,
    ),
    "JointTraining": Recipe(
        "wants all experiences at once and refuses a second call; our joint is this, Cumulative comes"
        " near it"
    ),
    "LFL": Recipe(quirks=("the last layer is frozen after the first experience",)),
    "LearningToPrompt": Recipe(
        "makes its own vision transformer from timm for 224×224 images and downloads its weights; it"
        " takes no other network"
    ),
    "LwF": Recipe(
        quirks=(
            "the distillation loss lacks the factor T² and covers units of classes seen before only",
        )
    ),
    "MAS": Recipe(
        quirks=(
            "importances take the gradient of a batch, not of each sample",
            "importances of experiences are averaged (alpha), not summed",
        )
    ),
    "MER": Recipe(
        quirks=(
            _LATE + ": none while the first is learnt",
            "one step here is n_inner_steps passes over the batch, sample by sample; steps counts"
            " batches",
            "the optimiser's state outlives the interpolation of weights",
        )
    ),
    "MIR": Recipe(
        quirks=(_LATE, "classes of the last batch are not replayed in the next experience")
    ),
    "Naive": Recipe(quirks=("our finetune: the same steps, in batches shuffled otherwise",)),
    "PNNStrategy": Recipe(
        network=columns,
        quirks=(
            "a column of hidden[0] units and len(hidden) layers for every task, with a head of its"
            " own",
            _UNIFORM,
        ),
        answers_untrained=False,
        needs_task=True,
        refusal=mlp_only,
    ),
    "PackNet": Recipe(
        model=PackNetModel,
        quirks=("post_prune_epochs of the epochs come after pruning", _UNIFORM),
        answers_untrained=False,
        needs_task=True,
        refusal=pruned_in_time,
    ),
    "Replay": Recipe(
        quirks=(_DOUBLED, _LATE, "the memory has equal shares per experience, not per class")
    ),
    "SCR": Recipe(
        model=projecting,
        quirks=(
            "the second view of an image is the image itself: no augmentation",
            "its contrastive loss replaces the masked cross-entropy; it predicts by the nearest class"
            " mean of the memory, so a class not in it scores as far as the farthest",
            _UNIFORM,
        ),
        answers_untrained=False,
    ),
    "StreamingLDA": Recipe(
        given={
            "slda_model": lambda parts: split_of(parts).feature_extractor,
            "input_size": lambda parts: split_of(parts).features,
            "num_classes": lambda parts: parts.info.classes,
            "output_layer_name": lambda _: None,
        },
        quirks=(
            "the network is never trained: a linear discriminant analysis of the features of random"
            " weights; epochs repeat the same samples",
        ),
    ),
    "SynapticIntelligence": Recipe(
        quirks=(
            "on a CPU it is Naive: the weights it keeps from before a step are views of those after it,"
            " so the path, and with it every importance, is 0",
            "the path follows the gradient of loss and penalty together; importances are cut off at"
            " 0.001; the penalty is λ/2",
        )
    ),
    "VAETraining": Recipe("trains a generator: it predicts no class"),
}
