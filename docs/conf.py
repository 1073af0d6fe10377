import zlib
from importlib.metadata import version as installed_version
from pathlib import Path

from servicex_layer import errors

project = "servicex_layer"
author = "The servicex_layer developers"
copyright = "2026, The servicex_layer developers"
version = release = installed_version("servicex_layer")

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"servicex_layer {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]

# A code cell that raises is an error of the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's Parameters sections say them
numpydoc_show_class_members = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# `names` in docstrings are links, and so are the types of parameters.
default_role = "py:obj"
numpydoc_xref_param_type = True
_words = "callable default iterable mapping of optional or pair sequence to"
numpydoc_xref_ignore = set(_words.split())
# numpydoc's own links to Python need its inventory: these resolve with it, and do without.
_builtins = ("False", "None", "True", "bool", "dict", "float", "int", "list", "str", "tuple")
numpydoc_xref_aliases = {
    **{name: name for name in (*_builtins, "callable", "iterable", "sequence")},
    **{
        name: f"servicex_layer.errors.{name}"
        for name in vars(errors)
        if name.endswith(("Error", "Warning"))
    },
}

# Without network a build has no links to other projects. That would be a warning, and so an error,
# unless each inventory has a second location: an empty file.
_no_inventory = Path(__file__).parent / "_build" / "none.inv"
_no_inventory.parent.mkdir(exist_ok=True)
_no_inventory.write_bytes(
    b"# Sphinx inventory version 2\n# Project: none\n# Version: 0\n"
    b"# The remainder of this file is compressed using zlib.\n" + zlib.compress(b"")
)
intersphinx_timeout = 10
intersphinx_mapping = {
    name: (url, (None, str(_no_inventory)))
    for name, url in {
        "awkward": "https://awkward-array.org/doc/stable",
        "coffea": "https://coffea-hep.readthedocs.io/en/latest",
        "dask": "https://docs.dask.org/en/stable",
        "dask-awkward": "https://dask-awkward.readthedocs.io/en/stable",
        "distributed": "https://distributed.dask.org/en/stable",
        "hist": "https://hist.readthedocs.io/en/latest",
        "numpy": "https://numpy.org/doc/stable",
        "python": "https://docs.python.org/3",
        "uproot": "https://uproot.readthedocs.io/en/latest",
    }.items()
}
