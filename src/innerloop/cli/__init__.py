"""The command line. What a command needs is imported when it runs, so that help comes at once."""

import difflib
import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "demo": ("_demo", "train a small agent, then show how it adapts to tasks it has never seen"),
    "train": ("_train", "train a method on a benchmark, into a run directory of its own"),
    "resume": ("_runs", "go on with a run that was stopped or killed"),
    "evaluate": ("_runs", "measure a run on held-out tasks"),
    "contrast": ("_runs", "how much adaptation itself brings: a run beside fine-tuning and training from scratch"),
    "report": ("_runs", "compare runs: a table, curve.png and curve.html"),
    "profile": ("_profile", "where the time of training goes"),
    "sweep": ("_sweep", "settings x seeds, each a run directory; ranked by what they earn on training tasks"),
    "list": ("_list", "methods, benchmarks and recipes"),
    "reproduce": ("_reproduce", "train and measure a recipe again, and compare with its stored result"),
}

HELP = """usage: innerloop COMMAND ...

Train agents that learn to learn: on tasks they have never seen, they adapt within a few episodes.

commands:
{commands}

first steps:
  innerloop demo                        from nothing to an adaptation curve, in minutes
  innerloop list                        what there is to train, and to train on
  innerloop train rl2 two-arm           train RL² on a two-armed bandit; the last line says where the run is
  innerloop train rl2 two-arm --help    every hyper-parameter, with its value for this benchmark
  innerloop evaluate RUN --greedy       measure it again, always taking the most probable action
  innerloop resume RUN                  after Ctrl-C, a crash or a power cut

`innerloop COMMAND --help` explains a command.
A run is stopped by Ctrl-C without losing anything. Compiled programs are kept in ~/.cache/innerloop; set
JAX_COMPILATION_CACHE_DIR to keep them elsewhere."""


class UsageError(Exception):
    """What was typed makes no sense; the message is one line that says what would."""


def help_text() -> str:
    """What `innerloop --help` prints."""
    return HELP.format(commands="\n".join(f"  {name:<12}{summary}" for name, (_, summary) in COMMANDS.items()))


def unknown(kind: str, name: str, known: Sequence[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest ones that do, in whatever case it is written."""
    if kind == "method":
        from innerloop.benchmarks import REGISTRY

        if name in REGISTRY:
            return UsageError(f"unknown method {name!r}; it is a benchmark, and the method comes first: METHOD {name}")
    folded = {other.casefold(): other for other in known}
    close = [folded[found] for found in difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.4)]
    return UsageError(
        f"unknown {kind} {name!r}; " + (f"did you mean {' or '.join(close)}?" if close else "see --help.")
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 after a failure, 2 for a mistake in the command, 128 + signal."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if arguments[0] == "--version":
        from innerloop._machine import versions

        print(f"innerloop {versions()['innerloop']}")
        return 0
    from innerloop._machine import limit_arenas

    limit_arenas()
    try:
        return _run(arguments[0], arguments[1:])
    except KeyboardInterrupt:
        return _fail("stopped.", 130)
    except UsageError as error:
        return _fail(str(error), 2)
    except Exception as error:
        return _explain(error)


def _run(command: str, arguments: list[str]) -> int:
    if command not in COMMANDS:
        raise unknown("command", command, list(COMMANDS))
    module = importlib.import_module(f"innerloop.cli.{COMMANDS[command][0]}")
    return int(getattr(module, f"{command}_command")(arguments))


def _explain(error: Exception) -> int:
    """One line for what users can put right; everything else is a bug and keeps its traceback."""
    from innerloop._callbacks import Interrupted
    from innerloop._train import NonFiniteError

    if isinstance(error, Interrupted):
        return _fail(str(error), 128 + error.signal_number)
    if isinstance(error, OSError | NonFiniteError):
        return _fail(str(error), 1)
    if type(error).__name__ == "JaxRuntimeError" and "Gloo" in str(error):
        reason = str(error).split(": ", 1)[-1]
        return _fail(f"another process is gone ({reason}). What was saved is good: `innerloop resume` goes on.", 1)
    if type(error).__name__ == "JaxRuntimeError" and "HostError: " in str(error):
        # A compiled program gives what an environment outside of it raised as text.
        return _fail(str(error).split("HostError: ", 1)[1].split("\n-----")[0].strip(), 1)
    if isinstance(error, ValueError) and _raised_here(error):
        return _fail(" ".join(str(error).split()), 2)
    raise error


def _raised_here(error: Exception) -> bool:
    """Whether this package raised the error itself, so that its message is meant for users."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is not None and str(step.tb_frame.f_globals.get("__name__", "")).startswith("innerloop.")


def _fail(message: str, status: int) -> int:
    print(f"innerloop: {message}", file=sys.stderr)
    return status
