"""The report of finished runs: one HTML page that opens from disk, on a phone and on paper too.

chosen = report.choose("runs/a", compare=["runs/b"])
text = report.render(report.gather(chosen, report.Asked()))
"""

from tf_sigma_vae.report.content import Content, Run, Sweep
from tf_sigma_vae.report.page import render
from tf_sigma_vae.report.sources import Asked, Chosen, choose, gather

__all__ = ["Asked", "Chosen", "Content", "Run", "Sweep", "choose", "gather", "render"]
