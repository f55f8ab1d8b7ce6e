"""The flows as Prefect loads them to run a deployment; nothing else imports this."""

from flows import pipeline

refresh = pipeline.refreshing.in_prefect
specdenoise = pipeline.workflow.in_prefect
train = pipeline.training.in_prefect
sweep = pipeline.sweeping.in_prefect
