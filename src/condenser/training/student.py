"""Supervised training: the module of teachers, students and fine-tuning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from condenser.compress.base import Compression, Projection
from condenser.data import Batch, DataModule, Loaders, as_batch, batches_of, moved
from condenser.distill import Labels, Objective, Outputs
from condenser.errors import CondenserError
from condenser.training import optimizers
from condenser.training.averaged import Averaged, frozen
from condenser.training.distributed.peers import Peers, agreed, assembled
from condenser.training.distributed.shard import shard
from condenser.training.gradient_shares import gradient_shares
from condenser.training.plan import Plan
from condenser.training.population import group as population
from condenser.training.progress import Progress
from condenser.training.state import State, apart, foreign, laid_out, state_of

STOCHASTIC = (nn.modules.dropout._DropoutNd,)


@dataclass
class Best:
    """The best epoch on validation, and its weights.

    ``accuracy`` is the metric that the task chooses by, less being worse.
    """

    accuracy: float = float("-inf")
    loss: float = float("inf")
    epoch: int | None = None
    state: State = field(default_factory=dict)

    def update(self, accuracy: float, loss: float, epoch: int, model: nn.Module) -> None:
        """Keep the weights if accuracy is higher, or equal with a lower loss."""
        if (accuracy, -loss) > (self.accuracy, -self.loss):
            self.accuracy, self.loss, self.epoch = accuracy, loss, epoch
            self.state = state_of(model)


class Student(pl.LightningModule):
    """Trains ``model`` with ``objective``, under an optional ``compression``.

    Lightning's overhead is as large as a small network's step, so one ``training_step`` takes a
    list of batches and does one optimiser step for each. Randomness within a step is a function
    of (seed, step). With several processes, see ``condenser.training.distributed``, each has its
    part of a batch.

    Args:
        constraints: re-apply the structure of earlier stages after every optimiser step.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        data: DataModule | Loaders,
        objective: Objective | None = None,
        compression: Compression | None = None,
        constraints: Sequence[Projection] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        laid_out(model, data.example(min(2, data.train_size)))
        self.model, self.plan, self.data, self.seed = model, plan, data, seed
        self.objective = objective or Labels()
        self.compression, self.constraints = compression, constraints
        self.best, self.steps, self.total, self.pending = Best(), 0, 0, 0
        self.peers = Peers()
        may_draw = any(isinstance(m, STOCHASTIC) for m in model.modules()) or foreign(model)
        objectives = [m for m in self.objective.modules() if isinstance(m, Objective)]
        self.stochastic = may_draw or any(one.stochastic for one in objectives)
        self.others: list[torch.optim.Optimizer] = []
        self.sums: dict[str, Any] = defaultdict(float)
        self.weighed: dict[str, float] = {}
        self.row: dict[str, float] = {}  # this epoch's values for the curves
        self.val_accuracy, self.val_loss = MeanMetric(), MeanMetric()
        self.objective.setup(data.weighted_task, data.targets)
        self.ema = Averaged(plan.ema) if plan.ema else None
        self.still = frozen(model, plan.frozen)

    def networks(self) -> list[nn.Module]:
        """All networks that are trained."""
        return [self.model, self.objective]

    def trained(self) -> list[nn.Parameter]:
        """The trainable parameters given to the optimiser."""
        return [p for network in self.networks() for p in network.parameters()]

    @property
    def sharded(self) -> bool:
        """Whether parameters are sharded over processes."""
        return self.device_mesh is not None

    def configure_model(self) -> None:
        """Lightning's hook, called once the process group is up."""
        for network in self.networks():
            self.shard(network, watched=bool(self.objective.student_layers))

    def shard(self, network: nn.Module, watched: bool) -> None:
        if self.device_mesh is not None:
            shard(network, self.device_mesh, watched)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return optimizers.made(self.plan, self.networks(), self.sharded)

    def metrics(self) -> dict[str, Any]:
        """Metrics of a finished training that only the module knows, by record key."""
        return {}

    def on_train_start(self) -> None:
        for network in self.networks():
            network.train()  # a stored model is loaded in eval mode, which Lightning would keep
        for layer in self.still:
            layer.eval()
        self.stop_in_time(self.current_epoch - 1)
        if self.ema is not None:
            self.ema.begin(self.model)
        self.peers = Peers.of(self.device_mesh)
        self.in_epoch = len(self.data.train_dataloader())
        self.total = self.plan.epochs * self.in_epoch
        found: Any = self.optimizers(use_pl_optimizer=False)
        self.optimizer, *self.others = found if isinstance(found, list) else [found]

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The objective's terms on a batch."""
        student = Outputs(self.model(batch.image), index=batch.index)
        return self.compute_loss(self.objective, student, None, batch.target)

    def compute_loss(
        self, objective: Objective, student: Outputs, teacher: Outputs | None, target: Tensor
    ) -> dict[str, Tensor]:
        """The objective's terms; on the global batch if it compares samples."""
        if self.sharded:
            student, teacher = assembled(student), teacher and assembled(teacher)
        decisions, answer = self.data.task.decisions, target
        if teacher is not None and teacher.logits.shape == student.logits.shape:
            teacher = teacher._replace(logits=decisions(teacher.logits, answer)[0])
        logits, target = decisions(student.logits, answer)
        student = student._replace(logits=logits)
        if objective.relational and self.peers.size > 1:
            everyones = self.peers.everyones
            student, teacher = everyones(student), teacher and everyones(teacher)
            target = self.peers.gather(target)
            self.seed_step()  # the same on every process
        return objective(student, teacher, target)

    def seed_step(self, rank: int = 0) -> None:
        """Seed the random generators for this step."""
        if self.stochastic:
            torch.manual_seed((self.seed + rank * 7_919) * 1_000_003 + self.steps)

    def training_step(self, batches: Any, _: int) -> None:
        for batch in population.left_of(self, list(batches_of(batches))):
            self.train_on_batch(batch)

    def taught(self, batches: Sequence[Batch]) -> list[Tensor] | None:
        """A teacher's logits for each of the batches, where there is one."""
        return None

    def rates(self, steps: int) -> list[float]:
        """The learning rates of the next steps."""
        return [self.plan.rate((self.steps + step) / self.total) for step in range(steps)]

    def train_on_batch(self, batch: Batch) -> None:
        """One optimiser step, then the compression's update and the constraints."""
        self.seed_step(self.peers.rank)
        done = self.steps / self.total
        (rate,) = self.rates(1)
        every = self.optimizer, *self.others
        optimizers.set_rates(every, rate, self.plan.lr)
        self.objective.progress(done)
        terms = self.terms(batch)
        if not self.sums:
            self.log_gradient_shares(terms)
        if not self.pending:
            for optimizer in every:
                optimizer.zero_grad()
        self.manual_backward(terms["loss"] / self.plan.accumulate)
        self.steps, self.pending = self.steps + 1, self.pending + 1
        if self.pending == self.plan.accumulate or self.steps % self.in_epoch == 0:
            self.update()
        for name, value in terms.items():
            self.sums[name] += value.detach()
        self.sums["steps"] += 1

    def update(self) -> None:
        """The optimiser's step on what has been accumulated."""
        if self.plan.clip is not None:
            nn.utils.clip_grad_norm_(self.trained(), self.plan.clip)
        for optimizer in (self.optimizer, *self.others):
            optimizer.step()
        self.pending = 0
        self.updated()

    def updated(self) -> None:
        """What has to follow a step of the optimiser."""
        for project in self.constraints:
            project()
        if self.compression is not None:
            self.compression.step(self.steps / self.total)
        if self.ema is not None:
            self.ema.update(self.model)

    def stop_in_time(self, epoch: int) -> None:
        """Stop once the best epoch lies ``patience`` epochs back; also what was resumed there."""
        best, patience = self.best.epoch, self.plan.patience
        if patience and best is not None and epoch - best >= patience:
            self.trainer.should_stop = True

    def log_gradient_shares(self, terms: dict[str, Tensor]) -> None:
        """Once per epoch, on its first batch: each term's weight and share of the gradient norm."""
        weights = self.objective.term_weights()
        self.weighed = {f"weight/{name}": weight for name, weight in weights.items()}
        if self.sharded:
            return  # no process has the whole gradient
        shares = gradient_shares(terms, weights, list(self.model.parameters()))
        self.weighed |= {f"gradient/{name}": share for name, share in shares.items()}

    def transfer_batch_to_device(self, batch: Any, device: torch.device, _: int) -> Any:
        if isinstance(batch[0], torch.Tensor):
            return moved(as_batch(batch), device)
        return [self.transfer_batch_to_device(one, device, _) for one in batch]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        made = self.compression.state() if self.compression is not None else {}
        checkpoint["training"] = {"steps": self.steps, "best": vars(self.best), "compression": made}
        if self.ema is not None:
            checkpoint["ema"] = vars(self.ema)
        checkpoint["state_dict"] = apart(checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        training = checkpoint["training"]
        self.steps, self.best = training["steps"], Best(**training["best"])
        if self.ema is not None:
            vars(self.ema).update(checkpoint["ema"])
        if self.compression is not None:
            self.compression.restore(training["compression"])

    def on_train_epoch_end(self) -> None:
        count = self.sums.pop("steps")
        means = {f"train/{name}": float(total) / count for name, total in self.sums.items()}
        means = self.peers.mean(means)
        self.sums.clear()
        if not all(torch.isfinite(torch.tensor(value)) for value in means.values()):
            where = f"epoch {self.current_epoch + 1} of {self.plan.epochs}"
            raise CondenserError(f"training diverged in {where} ({means}); try a lower optim.lr")
        rate = self.optimizer.param_groups[0]["lr"]
        self.row |= means | self.weighed | {"lr": rate, "epoch": float(self.current_epoch)}
        for logger in self.loggers:  # not log_dict: it logs only after the checkpoint is written
            logger.log_metrics(self.row, self.steps)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, Progress):
                metric = self.data.task.chosen
                chosen = self.row.get(f"val/{metric}")
                callback.epoch_over(self.trainer, means["train/loss"], chosen, metric)
        self.row = {}
        self.peers.align(self.model)
        self.stop_in_time(self.current_epoch)

    def on_validation_start(self) -> None:
        if self.ema is not None and self.ema.mean:
            self.ema.swap(self.model)

    def on_validation_end(self) -> None:
        if self.ema is not None and self.ema.mean:
            self.ema.swap(self.model)

    def validation_step(self, batch: Batch, _: int) -> None:
        batch = as_batch(batch)
        task = self.data.task
        with torch.autocast(batch.image.device.type, enabled=False):  # as what is kept is measured
            logits, target = task.decisions(self.model(batch.image), batch.target)
        self.val_accuracy.update(task.credit(logits, target))
        self.val_loss.update(task.hard_loss(logits, target), weight=len(target))

    def on_validation_epoch_end(self) -> None:
        task = self.data.task
        accuracy, loss = float(self.val_accuracy.compute()), float(self.val_loss.compute())
        self.val_accuracy.reset()
        self.val_loss.reset()
        if self.compression is None or self.compression.ready:
            accuracy, loss = agreed((accuracy, loss))
            self.best.update(task.sign * accuracy, loss, self.current_epoch, self.model)
        self.row = {f"val/{task.chosen}": accuracy, "val/loss": loss}
