"""What settings are called in other tools."""

from __future__ import annotations

_ELSEWHERE = {
    "learning_rate": ("lr", "learningrate", "rate", "init_lr", "base_lr", "eta"),
    "max_epochs": ("epochs", "epoch", "num_epochs", "n_epochs", "n_epoch", "max_epoch", "nepochs"),
    "batch": ("batch_size", "bs", "batchsize", "b", "train_batch_size"),
    "device cuda": ("gpu", "cuda", "use_gpu", "use_cuda"),
    "device cpu": ("cpu", "no_cuda", "no_gpu"),
    "devices": ("gpus", "num_gpus", "n_gpus", "ngpus", "world_size"),
    "precision bf16": ("fp16", "amp", "half", "bf16", "mixed_precision", "use_amp"),
    "workers": ("num_workers", "n_workers", "jobs", "n_jobs", "j", "processes", "threads", "num_threads"),
    "weight_decay": ("wd", "reg", "l2", "regularization"),
    "folds": ("k", "kfold", "k_fold", "n_folds", "num_folds", "n_splits", "cv"),
    "aggregator": ("model", "model_type", "mil", "arch", "network", "pooling"),
    "encoder": ("model", "model_name", "backbone", "feature_extractor", "patch_encoder", "extractor"),
    "trunk": ("model", "backbone", "arch", "architecture", "network"),
    "optimizer": ("opt", "optim", "optimiser"),
    "seed": ("random_state", "random_seed", "rng", "s"),
    "out": ("output", "o", "output_dir", "out_dir", "outdir", "save_dir", "dest", "results_dir", "job_dir"),
    "labels": ("csv", "csv_path", "label", "table", "clini_table", "label_csv", "annotations", "dataset_csv"),
    "target": ("task", "label_column", "label_col", "targets", "outcome", "endpoint", "y", "target_label"),
    "splits": ("split_dir", "split", "split_csv"),
    "tile_px": ("patch_size", "tile_size", "patch_px", "img_size", "image_size", "patchsize"),
    "stride_px": ("step_size", "step", "stride", "overlap"),
    "mpp": ("mag", "magnification", "target_mag", "resolution", "um", "pixel_size"),
    "initialisations": ("n_models", "ensemble", "num_models", "initializations"),
    "patience": ("early_stopping", "early_stop"),
    "config": ("cfg", "config_file", "yaml", "settings"),
    "quiet": ("silent", "no_progress"),
    "verbose": ("debug", "loglevel", "log_level"),
    "tensorboard": ("logdir", "log_dir", "tb", "tensorboard_dir"),
    "slides": ("wsi_dir", "source", "data", "data_slide_dir", "slide_dir", "input", "i"),
    "store": ("features", "feature_dir", "feat_dir", "data_root_dir", "h5_dir"),
    "dry_run": ("n", "check", "plan"),
    "replace": ("overwrite", "force", "f"),
    "code_size": ("dim", "embed_dim", "feature_dim", "latent_dim", "emb_size"),
    "steps": ("steps_per_epoch", "iterations", "iters"),
    "sets": ("datasets", "tile_sets"),
    "augment": ("augmentation", "augmentations", "aug"),
}
"""What settings are called in other tools, by what they are called here and the value that is meant."""


def here(name: str) -> tuple[str, ...]:
    """What a setting of another tool may be called here.

    Args:
        name: As it was given, with underscores.

    Returns:
        Names of settings, some followed by a blank and the value that it means; not all verbs have them.

    Example:
        >>> here("lr"), here("gpu"), here("crop_cells")
        (('learning_rate',), ('device cuda',), ())
    """
    given = name.lower()
    return tuple(own for own, others in _ELSEWHERE.items() if given in others)
