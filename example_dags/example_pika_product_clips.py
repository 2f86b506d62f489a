"""What a content team runs: a clip for each product, saved by day, a contact sheet, and a Dag that takes what is new.

`example_pika_product_clips` makes the clips; each file that is saved is an event of the asset `product_clips`.
`example_pika_new_product_clips` is scheduled on it, and has the path, the URL and the SHA-256 of each new clip.
"""

from __future__ import annotations

from airflow.sdk import Asset, dag, task
from clips import FOLDER, saved_clip

CLIPS = Asset("product_clips")

PRODUCTS = {
    "kettle": "A copper kettle steams on a blue stove",
    "bicycle": "A folding bicycle unfolds itself on a wet street",
    "scarf": "A woollen scarf drifts down over a chair",
    "radio": "A pocket radio lights up by a window at dusk",
}


@task
def briefs(params, dag_run) -> list[dict[str, str]]:
    """Stand for a query of yours: for each product what to show, and where the clip goes."""
    folder = f"{params['folder']}/{dag_run.run_after:%Y-%m-%d}"
    return [{"prompt": prompt, "path": f"{folder}/{sku}.mp4"} for sku, prompt in PRODUCTS.items()]


@task
def contact_sheet(saved) -> str:
    """Show all clips of the day in one picture, beside them."""
    import contact_sheet

    clips = list(saved)
    path = contact_sheet.draw(clips, clips[0]["path"].rpartition("/")[0] + "/contact-sheet.png")
    print(f"{len(clips)} clips: {path}")
    return path


@dag(schedule=None, catchup=False, tags=["pika"], params={"folder": FOLDER})
def example_pika_product_clips():
    contact_sheet(saved_clip.partial(resolution="480p", outlets=[CLIPS]).expand_kwargs(briefs()))


@dag(schedule=[CLIPS], catchup=False, tags=["pika"])
def example_pika_new_product_clips():
    @task
    def publish(triggering_asset_events) -> list[str]:
        """Take each new clip; one run may have several, and several runs one each."""
        new = [event.extra for event in triggering_asset_events[CLIPS]]
        for clip in new:
            print(f"New: {clip['path']}, SHA-256 {clip['sha256']}, from {clip['url']}")
        return [clip["path"] for clip in new]

    publish()


example_pika_product_clips()
example_pika_new_product_clips()
