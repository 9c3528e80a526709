from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import lacking
from tests.tools import hint_of

from mlib.core.comfyui.root_sources import (
    RootsFound,
    comfyui_roots,
    distinct,
    extra_paths_roots,
    find_comfyui,
    root_option,
)
from mlib.core.errors import MlibError, WrongUsage
from mlib.core.records import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
CODE_OF_FAILURE = """
import sys
from mlib.core.errors import MlibError
from mlib.core.comfyui.root_sources import comfyui_roots, extra_paths_roots, root_option
try:
    found = {call}
except MlibError as error:
    print(error.code)
else:
    print(found)
"""


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A checkout as git clone leaves it, short of its code."""
    directory = tmp_path / "ComfyUI"
    for name in ("models/checkpoints", "models/loras", "models/configs", "comfy", "custom_nodes"):
        (directory / name).mkdir(parents=True)
    (directory / "main.py").touch()
    return directory


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that another user can reach, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name).resolve()
        directory.chmod(0o755)
        yield directory
        for path in directory.rglob("*"):
            path.chmod(0o755)


@cache
def nobody_can_run_python() -> bool:
    """False without setpriv, or where the interpreter lies in root's own home."""
    if shutil.which("setpriv") is None:
        return False
    command = [
        *NOBODY,
        sys.executable,
        "-c",
        "import mlib.core.comfyui.root_sources, mlib.core.comfyui.extra_paths",
    ]
    return subprocess.run(command, check=False, capture_output=True, cwd="/").returncode == 0


def as_nobody(call: str) -> str:
    """What `call` gives, or the code it fails with, for a user whom permissions bind."""
    command = [sys.executable, "-c", CODE_OF_FAILURE.format(call=call)]
    if os.geteuid() == 0:
        if not nobody_can_run_python():
            lacking("root passes every permission, and no other user can run this Python")
        command = [*NOBODY, *command]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout.strip()


def pairs(found: RootsFound) -> list[tuple[str, str]]:
    return [(root.type, root.path) for root in found.roots]


def yaml_file(directory: Path, text: str, name: str = "extra_model_paths.yaml") -> str:
    path = directory / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return str(path)


def failure(call: Callable[[], object]) -> MlibError:
    with pytest.raises(MlibError) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value


class TestComfyuiRoots:
    def test_every_built_in_folder_that_exists_is_a_root(self, comfyui: Path) -> None:
        for name in ("clip", "text_encoders", "unet", "diffusion_models", "t2i_adapter"):
            (comfyui / "models" / name).mkdir()
        found = comfyui_roots(str(comfyui))
        models = f"{comfyui}/models"
        assert sorted(pairs(found)) == sorted(
            [
                ("checkpoints", f"{models}/checkpoints"),
                ("loras", f"{models}/loras"),
                ("text_encoders", f"{models}/text_encoders"),
                ("text_encoders", f"{models}/clip"),
                ("diffusion_models", f"{models}/unet"),
                ("diffusion_models", f"{models}/diffusion_models"),
                ("controlnet", f"{models}/t2i_adapter"),
            ]
        )
        by_type = [path for kind, path in pairs(found) if kind == "diffusion_models"]
        assert by_type == [f"{models}/unet", f"{models}/diffusion_models"]
        assert {root.origin for root in found.roots} == {f"comfyui:{comfyui}"}
        assert not any(root.any_file for root in found.roots)
        assert found.problems == ()

    def test_the_models_folder_gives_the_same_roots_as_its_checkout(self, comfyui: Path) -> None:
        (comfyui / "output/loras").mkdir(parents=True)
        yaml_file(comfyui, "a: {loras: more}")
        assert comfyui_roots(str(comfyui / "models")) == comfyui_roots(str(comfyui))

    def test_an_empty_models_folder_is_known_by_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        assert comfyui_roots(str(tmp_path / "models")) == RootsFound(())
        assert comfyui_roots(str(tmp_path)) == RootsFound(())

    def test_a_models_folder_of_any_name_is_known_by_its_types(self, tmp_path: Path) -> None:
        (tmp_path / "big/loras").mkdir(parents=True)
        assert pairs(comfyui_roots(str(tmp_path / "big"))) == [("loras", str(tmp_path / "big/loras"))]

    def test_a_models_folder_inside_a_models_folder_does_not_hide_it(self, comfyui: Path) -> None:
        (comfyui / "models/models").mkdir()
        assert ("loras", f"{comfyui}/models/loras") in pairs(comfyui_roots(str(comfyui / "models")))

    def test_other_folders_are_types_of_their_own_name(self, comfyui: Path) -> None:
        for name in ("ultralytics", "IPAdapter", ".cache", "custom_nodes", "fonts", "lost+found"):
            (comfyui / "models" / name).mkdir()
        (comfyui / "models/readme.txt").touch()
        kinds = [kind for kind, _ in pairs(comfyui_roots(str(comfyui)))]
        assert kinds == ["checkpoints", "loras", "IPAdapter", "ultralytics"]

    def test_a_folder_whose_name_cannot_be_a_type_is_a_problem(self, comfyui: Path) -> None:
        os.mkdir(os.fsencode(comfyui) + b"/models/\xff")
        found = comfyui_roots(str(comfyui))
        assert [problem.code for problem in found.problems] == ["bad_type"]
        assert found.problems[0].path == f"{comfyui}/models/\udcff"
        assert len(found.roots) == 2

    def test_the_bin_and_the_snapshots_of_a_nas_are_no_types(self, comfyui: Path) -> None:
        for name in ("#recycle", "@Recycle", "#snapshot", "@eaDir", "RECYCLER", "Network Trash Folder"):
            (comfyui / "models" / name).mkdir()
        types = {root.type for root in comfyui_roots(str(comfyui)).roots}
        assert types == {"checkpoints", "loras"}

    def test_the_output_folders_come_last_in_their_types(self, comfyui: Path) -> None:
        for name in ("loras", "clip", "images"):
            (comfyui / "output" / name).mkdir(parents=True)
        yaml_file(comfyui, "a: {loras: /mnt/loras}")
        found = pairs(comfyui_roots(str(comfyui)))
        assert [path for kind, path in found if kind == "loras"] == [
            f"{comfyui}/models/loras",
            "/mnt/loras",
            f"{comfyui}/output/loras",
        ]
        assert ("text_encoders", f"{comfyui}/output/clip") in found
        assert not any("images" in path for _, path in found)

    def test_the_yaml_of_the_checkout_is_read(self, comfyui: Path) -> None:
        path = yaml_file(comfyui, "a: {base_path: /mnt, loras: lora, is_default: true, mine: mine}")
        roots = comfyui_roots(str(comfyui)).roots
        assert [(r.path, r.origin) for r in roots if r.type == "loras"] == [
            ("/mnt/lora", f"extra:{path}"),
            (f"{comfyui}/models/loras", f"comfyui:{comfyui}"),
        ]
        assert [(r.path, r.any_file) for r in roots if r.type == "mine"] == [("/mnt/mine", True)]

    def test_a_folder_that_the_yaml_gives_another_type_is_not_a_type_of_its_own(self, comfyui: Path) -> None:
        (comfyui / "models/ESRGAN").mkdir()
        yaml_file(comfyui, "a: {upscale_models: models/ESRGAN/}")
        assert [kind for kind, path in pairs(comfyui_roots(str(comfyui))) if "ESRGAN" in path] == [
            "upscale_models"
        ]

    def test_a_broken_yaml_is_one_problem_and_the_folders_are_still_found(self, comfyui: Path) -> None:
        path = yaml_file(comfyui, "a: [\n")
        found = comfyui_roots(str(comfyui))
        assert [(problem.path, problem.code) for problem in found.problems] == [(path, "bad_yaml")]
        assert len(found.roots) == 2

    def test_linked_folders_are_listed_by_the_name_of_the_link(self, comfyui: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (comfyui / "models/vae").symlink_to(tmp_path / "elsewhere")
        assert ("vae", f"{comfyui}/models/vae") in pairs(comfyui_roots(str(comfyui)))

    def test_a_built_in_folder_whose_drive_is_off_is_still_a_root(self, comfyui: Path) -> None:
        """Promise 5: the scan is to say that it is offline, so it must hear of it."""
        (comfyui / "models/vae").symlink_to("/nowhere/vae")
        (comfyui / "models/broken.safetensors").symlink_to("/nowhere/file")
        kinds = [kind for kind, _ in pairs(comfyui_roots(str(comfyui)))]
        assert kinds == ["checkpoints", "loras", "vae"]

    def test_a_path_is_made_absolute_and_not_resolved(
        self, comfyui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "link").symlink_to(comfyui)
        monkeypatch.chdir(tmp_path)
        assert pairs(comfyui_roots("link/../link/"))[0][1] == f"{tmp_path}/link/models/checkpoints"

    def test_the_home_directory_is_understood(self, comfyui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(comfyui.parent))
        assert comfyui_roots("~/ComfyUI") == comfyui_roots(str(comfyui))

    def test_a_directory_without_models_is_no_comfyui(self, tmp_path: Path) -> None:
        error = failure(lambda: comfyui_roots(str(tmp_path)))
        assert (error.code, error.exit_code) == ("no_comfyui", 1)
        assert hint_of(error)

    @pytest.mark.parametrize("path", ["missing", "", "a\0b", "\ud800", "~\0", "x" * 5000])
    def test_a_path_that_leads_nowhere_is_no_directory(self, tmp_path: Path, path: str) -> None:
        given = str(tmp_path / path) if path == "missing" else path
        assert failure(lambda: comfyui_roots(given)).code == "no_such_directory"

    def test_a_file_is_not_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert failure(lambda: comfyui_roots(str(tmp_path / "file"))).code == "not_a_directory"

    def test_a_models_link_that_leads_nowhere_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "models").symlink_to("/nowhere/models")
        error = failure(lambda: comfyui_roots(str(tmp_path)))
        assert error.code == "no_such_directory"
        assert str(tmp_path / "models") in error.message

    @pytest.mark.parametrize("mode", [0o000, 0o111])
    def test_a_models_folder_that_cannot_be_listed_is_an_error(self, open_directory: Path, mode: int) -> None:
        (open_directory / "models").mkdir()
        (open_directory / "models").chmod(mode)
        assert as_nobody(f"comfyui_roots({str(open_directory)!r})") == "unreadable_root"

    def test_a_checkout_that_cannot_be_entered_is_an_error(self, open_directory: Path) -> None:
        (open_directory / "ComfyUI/models").mkdir(parents=True)
        (open_directory / "ComfyUI").chmod(0o444)
        assert as_nobody(f"comfyui_roots('{open_directory}/ComfyUI')") == "unreadable_root"

    def test_folders_that_can_only_be_named_are_not_passed_over(self, open_directory: Path) -> None:
        (open_directory / "models/loras").mkdir(parents=True)
        (open_directory / "models").chmod(0o444)
        assert "type='loras'" in as_nobody(f"comfyui_roots({str(open_directory)!r})")


class TestExtraPathsRoots:
    def test_the_example_for_another_web_ui_gives_its_folders_in_order(self, tmp_path: Path) -> None:
        path = yaml_file(
            tmp_path,
            """
            a111:
                base_path: /srv/webui/
                checkpoints: models/Stable-diffusion
                configs: models/Stable-diffusion
                vae: models/VAE
                loras: |
                     models/Lora
                     models/LyCORIS
                embeddings: embeddings
                custom_nodes: nodes
            """,
        )
        found = extra_paths_roots(path)
        assert pairs(found) == [
            ("checkpoints", "/srv/webui/models/Stable-diffusion"),
            ("vae", "/srv/webui/models/VAE"),
            ("loras", "/srv/webui/models/Lora"),
            ("loras", "/srv/webui/models/LyCORIS"),
            ("embeddings", "/srv/webui/embeddings"),
        ]
        assert found.problems == ()
        assert {root.origin for root in found.roots} == {f"extra:{path}"}

    def test_default_paths_go_to_the_front_so_the_last_line_is_first(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, 'a: {is_default: "false", loras: "/x\\n/y\\n/models/b"}')
        after = [Root("loras", "/models/a", "comfyui:/"), Root("loras", "/models/b", "comfyui:/")]
        roots = extra_paths_roots(path, after=after).roots
        assert [root.path for root in roots] == ["/models/b", "/y", "/x", "/models/a"]
        assert roots[0].origin == "comfyui:/"

    @pytest.mark.parametrize("value", ["false", "null", "0", '""', "[]", "{}"])
    def test_what_python_calls_false_is_no_default(self, tmp_path: Path, value: str) -> None:
        path = yaml_file(tmp_path, f"a: {{is_default: {value}, loras: /x}}")
        after = [Root("loras", "/models/a", "comfyui:/")]
        assert [r.path for r in extra_paths_roots(path, after=after).roots] == ["/models/a", "/x"]

    def test_lines_are_neither_stripped_nor_expanded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BIG", "/big")
        path = yaml_file(tmp_path, 'a: {base_path: /b, loras: " x\\n\\n~/y \\n$BIG/z\\n"}')
        assert [r.path for r in extra_paths_roots(path).roots] == ["/b/ x", "/b/~/y ", "/b/$BIG/z"]

    @pytest.mark.parametrize(
        ("base", "expected"),
        [
            ("~/m", "/home/me/m/x"),
            ("$BIG/m/", "/big/m/x"),
            ("'${BIG}'", "/big/x"),
            ("$UNSET_HERE/m", "DIR/$UNSET_HERE/m/x"),
            ("rel/../m", "DIR/m/x"),
            ('""', "DIR/x"),
            ("~no-such-user-here/m", "DIR/~no-such-user-here/m/x"),
        ],
    )
    def test_the_base_path_is_expanded_and_relative_to_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str, expected: str
    ) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setenv("BIG", "/big")
        monkeypatch.delenv("UNSET_HERE", raising=False)
        path = yaml_file(tmp_path, f"a: {{base_path: {base}, loras: x}}")
        assert [r.path for r in extra_paths_roots(path).roots] == [expected.replace("DIR", str(tmp_path))]

    def test_without_a_base_path_lines_are_relative_to_the_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        yaml_file(tmp_path, 'a: {loras: "x\\n../y/\\n/z"}')
        monkeypatch.chdir(tmp_path)
        assert [r.path for r in extra_paths_roots("extra_model_paths.yaml").roots] == [
            str(tmp_path / "x"),
            str(tmp_path.parent / "y"),
            "/z",
        ]

    def test_an_absolute_line_wins_over_the_base_path(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, "a: {base_path: /b, loras: /mnt/loras}")
        assert pairs(extra_paths_roots(path)) == [("loras", "/mnt/loras")]

    def test_aliases_are_mapped_and_unknown_types_take_any_file(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, "a: {unet: /u, clip: /c, t2i_adapter: /t, LLM: /l, lora: /o}")
        assert [(r.type, r.path, r.any_file) for r in extra_paths_roots(path).roots] == [
            ("diffusion_models", "/u", False),
            ("text_encoders", "/c", False),
            ("t2i_adapter", "/t", True),
            ("LLM", "/l", True),
            ("lora", "/o", True),
        ]

    def test_types_without_models_are_skipped_in_silence(self, tmp_path: Path) -> None:
        path = yaml_file(
            tmp_path, "a: {custom_nodes: n, configs: c, fonts: f, datasets: d, download_model_base: m}"
        )
        assert extra_paths_roots(path) == RootsFound(())

    @pytest.mark.parametrize(
        "text", ["", "# nothing\n", "---\n", "null\n", "a:\n", "a: {}\n", "a: {loras: ''}\n"]
    )
    def test_a_file_that_lists_nothing_gives_no_roots(self, tmp_path: Path, text: str) -> None:
        assert extra_paths_roots(yaml_file(tmp_path, text)) == RootsFound(())

    @pytest.mark.parametrize(
        ("text", "code", "named"),
        [
            ("my: text", "bad_block", "'my'"),
            ("my: [a]", "bad_block", "'my'"),
            ("my: true", "bad_block", "'my'"),
            ("my: {vae: [/a, /b]}", "bad_value", "'vae'"),
            ("my: {vae: true}", "bad_value", "'vae'"),
            ("my: {vae: 5}", "bad_value", "'vae'"),
            ("my: {vae: }", "bad_value", "'vae'"),
            ("my: {vae: {a: b}}", "bad_value", "'vae'"),
            ("my: {vae: 2020-01-01}", "bad_value", "'vae'"),
            ('my: {vae: "a\\0b"}', "bad_value", "'vae'"),
            ('my: {vae: "a\\ud800"}', "bad_value", "'vae'"),
            ("my: {1: /a}", "bad_key", "'my'"),
            ("my: {true: /a}", "bad_key", "'my'"),
            (f"my: {{? 0x{'f' * 9000} : /a}}", "bad_key", "'my'"),
            ('my: {"": /a}', "bad_key", "'my'"),
            ('my: {"\\e[31m": /a}', "bad_key", "'my'"),
            ("my: {base_path: , vae: a}", "bad_value", "base_path"),
            ("my: {base_path: [a], vae: a}", "bad_value", "base_path"),
            ('my: {base_path: "~\\0", vae: a}', "bad_value", "base_path"),
            ('my: {base_path: "${\\ud800}", vae: a}', "bad_value", "base_path"),
        ],
    )
    def test_what_stops_comfyui_is_one_problem_and_the_rest_goes_on(
        self, tmp_path: Path, text: str, code: str, named: str
    ) -> None:
        path = yaml_file(tmp_path, f"{text}\nother: {{loras: /mnt/loras}}\n")
        found = extra_paths_roots(path)
        assert pairs(found) == [("loras", "/mnt/loras")]
        (problem,) = found.problems
        assert (problem.path, problem.code) == (path, code)
        assert named in problem.message
        assert "'my'" in problem.message
        assert problem.message.isprintable()
        assert len(problem.message) < 200

    def test_other_keys_of_a_block_with_a_bad_value_still_count(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, 'a: {vae: [x], loras: "/x\\n/\\ud800\\n/y"}')
        found = extra_paths_roots(path)
        assert pairs(found) == [("loras", "/x"), ("loras", "/y")]
        assert [problem.code for problem in found.problems] == ["bad_value", "bad_value"]

    @pytest.mark.parametrize(
        ("data", "line"),
        [
            (b"a:\n  b: [\n", 3),
            (b"a: 1\n\tb: 2\n", 2),
            (b"- a\n- b\n", 1),
            (b"\n\ntext\n", 3),
            (b"a:\n  loras: \xff\xfe\n", 2),
            (b"a:\n  loras: x\x07\n", 2),
            (b"a: {}\nb: *c\n", 2),
            (b"a: {}\n---\nb: {}\n", 2),
            (b"a:\n  vae: 2001-99-99\n  loras: x\n", 2),
            (b"a:\n  vae: !!bool maybe\n", 2),
            (b"a:\n  vae: !!int ''\n", 2),
            (b"a:\n  vae: !!python/object/apply:os.getcwd []\n", 2),
            (b"a:\n  ? {x: y}\n  : z\n", 2),
            (b"!!set {a, b}\n", 1),
        ],
    )
    def test_a_file_that_is_wrong_as_a_whole_is_refused_with_its_line(
        self, tmp_path: Path, data: bytes, line: int
    ) -> None:
        path = tmp_path / "paths.yaml"
        path.write_bytes(data)
        error = failure(lambda: extra_paths_roots(str(path)))
        assert error.code == "bad_yaml"
        assert error.message.startswith(f"{path}: line {line}: ")

    def test_deep_nesting_is_refused(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, "a: " + "[" * 5_000)
        assert failure(lambda: extra_paths_roots(path)).code == "bad_yaml"

    def test_a_file_larger_than_a_megabyte_is_refused(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, "#" * 1_000_001)
        assert "larger" in failure(lambda: extra_paths_roots(path)).message

    def test_merges_that_double_each_time_are_one_folder(self, tmp_path: Path) -> None:
        """PyYAML merges a key once since 6.0.4; before, these lines merged it 2**11 times."""
        doubling = (f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 12))
        path = yaml_file(tmp_path, "\n".join(["a0: &a0 {k: /v}", *doubling]))
        assert pairs(extra_paths_roots(path)) == [("k", "/v")]

    @pytest.mark.parametrize(
        "text",
        [
            "x: &x\n  loras: |\n" + "    a\n" * 2000 + "".join(f"b{i}: *x\n" for i in range(2000)),
            "x: &x {"
            + ", ".join(f"k{i}: ''" for i in range(2000))
            + "}\n"
            + "".join(f"b{i}: *x\n" for i in range(2000)),
            "x:\n  k: &v |\n" + "    a\n" * 2000 + "".join(f"  k{i}: *v\n" for i in range(2000)),
        ],
        ids=["blocks", "keys", "values"],
    )
    def test_aliases_that_multiply_lines_are_refused(self, tmp_path: Path, text: str) -> None:
        assert "more than" in failure(lambda: extra_paths_roots(yaml_file(tmp_path, text))).message

    def test_ordinary_merges_and_aliases_work(self, tmp_path: Path) -> None:
        path = yaml_file(
            tmp_path,
            "a: &a {base_path: &b /srv, loras: l}\nc: {<<: *a, vae: v}\nd: {base_path: *b, mine: m}\n",
        )
        assert pairs(extra_paths_roots(path)) == [("loras", "/srv/l"), ("vae", "/srv/v"), ("mine", "/srv/m")]

    def test_a_block_that_is_an_alias_lost_its_base_path_to_the_first(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, "a: &a {base_path: /srv, loras: l}\nb: *a\n")
        assert pairs(extra_paths_roots(path)) == [("loras", "/srv/l"), ("loras", str(tmp_path / "l"))]

    def test_a_file_that_contains_itself_is_survived(self, tmp_path: Path) -> None:
        found = extra_paths_roots(yaml_file(tmp_path, "&a\nbase_path: x\nb: *a\nc: {loras: /l}\n"))
        assert ("loras", "/l") in pairs(found)
        assert {problem.code for problem in found.problems} == {"bad_block", "bad_value"}

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        error = failure(lambda: extra_paths_roots(str(tmp_path / "none.yaml")))
        assert error.code == "no_such_file"
        assert str(tmp_path / "none.yaml") in error.message

    def test_what_is_no_regular_file_is_not_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert failure(lambda: extra_paths_roots(str(tmp_path / "fifo"))).code == "bad_yaml"
        assert failure(lambda: extra_paths_roots(str(tmp_path))).code == "bad_yaml"

    def test_a_file_that_may_not_be_read_is_refused(self, open_directory: Path) -> None:
        path = yaml_file(open_directory, "a: {loras: /l}")
        assert "/l" in as_nobody(f"extra_paths_roots({path!r})")
        Path(path).chmod(0)
        assert as_nobody(f"extra_paths_roots({path!r})") == "bad_yaml"

    def test_a_byte_order_mark_and_other_line_ends_do_no_harm(self, tmp_path: Path) -> None:
        path = tmp_path / "paths.yaml"
        path.write_bytes(b"\xef\xbb\xbfa:\r\n  loras: |\r\n    /x\r\n    /y\r\n")
        assert pairs(extra_paths_roots(str(path))) == [("loras", "/x"), ("loras", "/y")]

    def test_nobody_needs_a_home(self, tmp_path: Path) -> None:
        path = yaml_file(tmp_path, "a: {base_path: ~/m, loras: x}")
        code = (
            f"from mlib.core.comfyui.root_sources import *; print(len(extra_paths_roots({path!r}).roots))\n"
        )
        code += "print(find_comfyui(start='.', environ={}))"
        environ = {key: value for key, value in os.environ.items() if key != "HOME"}
        environ["XDG_CONFIG_HOME"] = str(tmp_path)
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True, text=True)
        assert done.stdout == "1\nNone\n"


class TestRootOption:
    def test_a_type_and_a_directory_make_a_root(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a=b").mkdir()
        assert root_option(f"loras={tmp_path}/a=b/") == Root("loras", f"{tmp_path}/a=b", "user")
        assert root_option(f" UNET ={tmp_path}").type == "diffusion_models"
        assert root_option(f"My Own={tmp_path}") == Root("My Own", str(tmp_path), "user")
        monkeypatch.chdir(tmp_path)
        assert root_option("vae=a=b").path == f"{tmp_path}/a=b"
        monkeypatch.setenv("HOME", str(tmp_path))
        assert root_option("vae=~/a=b").path == f"{tmp_path}/a=b"

    def test_a_link_is_not_resolved(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to("there")
        assert root_option(f"vae={tmp_path}/link").path == f"{tmp_path}/link"

    @pytest.mark.parametrize(
        "text", ["", "loras", "/mnt/loras", "=/mnt", " =/", "loras=", "a/b=/", "a\\b=/", "a\x1b=/"]
    )
    def test_bad_syntax_is_wrong_usage(self, text: str) -> None:
        with pytest.raises(WrongUsage) as caught:
            root_option(text)
        assert (caught.value.code, caught.value.exit_code) == ("bad_root", 2)
        assert "--root" not in hint_of(caught.value)  # `mlib roots add` has no such option

    def test_a_directory_that_cannot_be_a_root_says_why(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert failure(lambda: root_option(f"vae={tmp_path}/none")).code == "no_such_directory"
        assert failure(lambda: root_option(f"vae={tmp_path}/file")).code == "not_a_directory"
        assert failure(lambda: root_option("vae=a\0b")).code == "no_such_directory"

    def test_a_directory_that_cannot_be_listed_is_an_error(self, open_directory: Path) -> None:
        assert "type='vae'" in as_nobody(f"root_option('vae={open_directory}')")
        (open_directory / "closed").mkdir(mode=0o300)
        assert as_nobody(f"root_option('vae={open_directory}/closed')") == "unreadable_root"

    def test_a_current_directory_that_is_gone_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "gone").mkdir()
        code = (
            "import os\nfrom mlib.core.comfyui.root_sources import *\n"
            "from mlib.core.errors import MlibError\n"
            "os.rmdir(os.getcwd())\n"
            "try: root_option('vae=x')\n"
            "except MlibError as error: print(error.code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / "gone", check=True, capture_output=True, text=True
        )
        assert done.stdout == "no_such_directory\n"


class TestDistinct:
    def test_one_directory_counts_once_and_the_first_wins(self, tmp_path: Path) -> None:
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "link").symlink_to("a")
        first = Root("loras", str(tmp_path / "link"), "user")
        nested = Root("vae", str(tmp_path / "a/b"), "user")
        again = Root("vae", str(tmp_path / "a"), "comfyui:/x")
        absent = Root("vae", "/nowhere/else", "user")
        assert distinct([first, nested, again, absent, first, absent]) == (first, nested, absent)

    def test_a_link_in_a_circle_is_survived(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("a")
        root = Root("vae", str(tmp_path / "a"), "user")
        assert distinct([root, root]) == (root,)


class TestFindComfyui:
    @pytest.fixture(autouse=True)
    def no_settings(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def settings(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config/comfy-cli").mkdir(parents=True)
        (tmp_path / "config/comfy-cli/config.ini").write_text(text, encoding="utf-8")

    def test_the_environment_comes_first_and_is_not_judged(self, comfyui: Path) -> None:
        environ = {"MLIB_COMFYUI": "some/where"}
        assert find_comfyui(start=str(comfyui), environ=environ) == "some/where"
        assert find_comfyui(start=str(comfyui), environ={"MLIB_COMFYUI": ""}) == str(comfyui)

    @pytest.mark.parametrize("below", [".", "models", "models/loras", "custom_nodes"])
    def test_a_checkout_is_found_from_anywhere_inside_it(self, comfyui: Path, below: str) -> None:
        assert find_comfyui(start=str(comfyui / below), environ={}) == str(comfyui)

    def test_a_checkout_is_found_from_the_directory_that_holds_it(self, comfyui: Path) -> None:
        assert find_comfyui(start=str(comfyui.parent), environ={}) == str(comfyui)

    def test_either_sign_of_a_checkout_is_enough(self, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        assert find_comfyui(start=str(tmp_path), environ={}) is None
        (tmp_path / "main.py").touch()
        assert find_comfyui(start=str(tmp_path), environ={}) is None
        (tmp_path / "folder_paths.py").touch()
        assert find_comfyui(start=str(tmp_path), environ={}) == str(tmp_path)

    def test_a_checkout_without_models_is_not_taken(self, comfyui: Path) -> None:
        shutil.rmtree(comfyui / "models")
        assert find_comfyui(start=str(comfyui), environ={}) is None

    def test_the_workspace_of_comfy_cli_comes_last(self, comfyui: Path, tmp_path: Path) -> None:
        (tmp_path / "100%(x)s").mkdir()
        self.settings(tmp_path, f"[DEFAULT]\ndefault_workspace = {tmp_path}/100%(x)s\nrecent_workspace = /\n")
        (tmp_path / "empty").mkdir()
        assert find_comfyui(start=str(tmp_path / "empty"), environ={}) == str(tmp_path / "100%(x)s")
        assert find_comfyui(start=str(comfyui), environ={}) == str(comfyui)

    def test_the_recent_workspace_stands_in_for_a_default_that_is_gone(self, tmp_path: Path) -> None:
        (tmp_path / "recent").mkdir()
        self.settings(
            tmp_path, f"[DEFAULT]\ndefault_workspace = /nowhere\nrecent_workspace = {tmp_path}/recent\n"
        )
        assert find_comfyui(start=str(tmp_path), environ={}) == str(tmp_path / "recent")

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\xff\xfe\0",
            b"default_workspace = /\n",
            b"[DEFAULT\n",
            b"[DEFAULT]\ndefault_workspace\n",
            b"[DEFAULT]\ndefault_workspace =\nrecent_workspace = .\n",
            b"[DEFAULT]\ndefault_workspace = /a\0b\n",
            b"[other]\ndefault_workspace = /\n",
        ],
    )
    def test_broken_settings_name_no_workspace(self, tmp_path: Path, data: bytes) -> None:
        self.settings(tmp_path, "")
        (tmp_path / "config/comfy-cli/config.ini").write_bytes(data)
        assert find_comfyui(start=str(tmp_path), environ={}) is None

    def test_without_any_trace_nothing_is_found(self, tmp_path: Path) -> None:
        assert find_comfyui(start=str(tmp_path), environ={}) is None


def test_importing_the_module_loads_no_yaml_and_no_settings_reader() -> None:
    code = (
        "import sys, mlib.core.comfyui.root_sources;"
        " print({'yaml', 'configparser', 'platformdirs'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
