"""Pictures of graphs and of runs: Mermaid, DOT, SVG, PNG, and lines for a terminal."""

from orchestra_graph.render.draw import PictureFormat as PictureFormat
from orchestra_graph.render.draw import draw as draw
from orchestra_graph.render.draw import save as save
from orchestra_graph.render.picture import Picture as Picture
from orchestra_graph.render.picture import picture_of as picture_of
from orchestra_graph.render.picture import picture_of_run as picture_of_run
from orchestra_graph.render.text import text_of as text_of
