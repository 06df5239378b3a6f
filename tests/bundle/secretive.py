"""A workflow whose data nobody should find in a log, and stages that fail with it in their hands."""

from datetime import timedelta

from pydantic import BaseModel, Field

from workflow_engine import PermanentError, Registry, RetryPolicy, StageContext, Workflow, stage

# Stands for a customer's data.
MARKER = "c0ffee-secret"
ONCE = RetryPolicy(max_attempts=1)
TIMEOUT = timedelta(seconds=4)


class Letter(BaseModel):
    text: str
    length: int = Field(default=1, le=10)


class Reply(BaseModel):
    text: str
    required: int


@stage("answer", timeout=TIMEOUT)
def answer(letter: Letter, ctx: StageContext) -> Letter:
    ctx.log("info", letter.text, text=letter.text)
    ctx.annotate("text", letter.text)
    ctx.storage.save("text", letter.text)
    return Letter(text=f"output {letter.text}")


@stage("raise", retry=ONCE, timeout=TIMEOUT)
def fail(letter: Letter) -> Letter:
    raise RuntimeError(f"cannot answer {letter.text}")


@stage("validate", retry=ONCE, timeout=TIMEOUT)
def validate(letter: Letter) -> Letter:
    return Letter.model_validate({"text": letter.text, "length": letter.text})


@stage("return-rubbish", retry=ONCE, timeout=TIMEOUT)
def return_rubbish(letter: Letter) -> Reply:
    return {"text": letter.text}  # type: ignore[return-value]


@stage("refuse", timeout=TIMEOUT)
def refuse(letter: Letter) -> Letter:
    raise PermanentError(letter.text)


completes = Workflow("completes", input=Letter).pipe(answer).build()
registry = Registry(
    [completes, *(Workflow(one.id, input=Letter).pipe(one).build() for one in (fail, validate, return_rubbish, refuse))]
)
