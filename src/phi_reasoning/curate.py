"""Make training sets from procedural tasks.

phi-reasoning curate --config recipes/tiny/curate.yaml
"""

from pathlib import Path

from phi_reasoning import config
from phi_reasoning.errors import InputError, one_line


@one_line
def main(argv: list[str] | None = None) -> None:
    """Write each set of the recipe as JSONL, and print what it holds."""
    recipe = config.load("curate", argv)

    from phi_reasoning import lineage
    from phi_reasoning.data import seeds

    folder = Path(recipe.own.output_dir)
    if lineage.claim(folder, recipe.values):
        print(f"{folder}: already complete", flush=True)
        return
    data = []
    for entry in recipe.own.sets:
        path = folder / entry.file
        try:
            counts = seeds.write(path, entry, recipe.own.seed)
        except ValueError as error:
            raise InputError(f"{recipe.sources[0] if recipe.sources else 'sets'}: {entry.file}: {error}") from None
        print(f"{path}: {entry.size} {entry.split} items of {entry.task} ({counts})", flush=True)
        data.append({"path": str(path), "rows": entry.size, "sha256": lineage.file_sha256(path)})
    recipe.dump(folder / lineage.RECIPE)
    lineage.write(folder, "curate", recipe.values, data=data)


if __name__ == "__main__":
    main()
