"""Fills the tables of recipes into the pages: ``{{ methods: supernet }}`` and ``{{ methods: fewshot }}``."""


def supernet() -> str:
    """Every search method with its paper and what differs from it."""
    from metajax.supernet import METHODS

    rows = [f"| `{name}` | {method.paper} | {method.deviations} |" for name, method in METHODS.items()]
    return "\n".join(["| name | paper | what differs |", "|---|---|---|", *rows])


def fewshot() -> str:
    """Every few-shot method with its settings for tasks of five ways."""
    from metajax.fewshot import METHODS

    header = ("name", "family", "inner rate", "steps: training, test", "tasks", "train ways", "options")
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for name, recipe in METHODS.items():
        options = ", ".join(key for key in recipe.options)
        cells = (
            f"`{name}`",
            recipe.family,
            f"{recipe.inner_rate:g}" if recipe.inner_rate else "–",
            f"{recipe.inner_steps}, {recipe.test_steps}" if recipe.inner_steps or recipe.test_steps else "none",
            str(recipe.tasks),
            str(recipe.train_ways or recipe.ways),
            options or "–",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def on_page_markdown(markdown, page, config, files):
    for make in (supernet, fewshot):
        reference = f"{{{{ methods: {make.__name__} }}}}"
        if reference in markdown:
            markdown = markdown.replace(reference, make())
    return markdown
