"""Chinese: the help of `mfp-predict`. What is no help of an option is a line or a paragraph."""

from __future__ import annotations

HELP = {
    "Usage: {call}": "用法：{call}",
    "Options:": "选项：",
    "[OPTIONS]": "[选项]",
    "[FILE]...": "[文件]...",
    "Try '{command}' for help.": "用 '{command}' 查看帮助。",
    "Error: {message}": "错误：{message}",
    "help|env var": "环境变量",
    "help|default": "默认",
    "help|required": "必填",
}
HELP_SENTENCES = {
    "Forecast rating, box office and the chance of a hit of films that have not opened.": (
        "预测尚未上映的影片的评分、票房和卖座概率。"
    ),
    "Films come as FILEs (.csv, .jsonl, .json; - is standard input), or one film by options. A row "
    "that cannot be read is reported with its reason; the others are served.": (
        "影片来自文件（.csv、.jsonl、.json；- 为标准输入），或用选项给出一部。"
        "无法读取的行会说明原因，其余照常预测。"
    ),
    "Examples:": "示例：",
    "Exit codes: 0 all films were served; 1 nothing could be done, one line says why; 2 wrong": (
        "退出码：0 全部影片已预测；1 无法执行，一行说明原因；2 用法"
    ),
    "usage; 3 served, but some rows were rejected (1 if all were); 130 stopped by Ctrl-C.": (
        "错误；3 已预测，但有些行未被采用（全部未采用则为 1）；130 被 Ctrl-C 中止。"
    ),
    "The bundle folder that mfp train or mfp export wrote.": (
        "mfp train 或 mfp export 写出的模型文件夹。"
    ),
    "A review, repeatable. Without --title, each is forecast by itself.": (
        "一篇影评，可重复。没有 --title 时各自单独预测。"
    ),
    "One review a line, each forecast by itself.": "每行一篇影评，各自单独预测。",
    "Folder of the posters and trailers that a table names. Default: the table's own.": (
        "表格所列海报和预告片所在的文件夹。默认为表格所在的文件夹。"
    ),
    "Write .csv, .jsonl or .json.": "写入 .csv、.jsonl 或 .json 文件。",
    "Default: a table on a terminal, JSON Lines in a pipe, by its ending in a file.": (
        "默认：终端为表格，管道为 JSON Lines，文件按其扩展名。"
    ),
    "Write rows that failed (JSONL).": "把未被采用的行写入此文件（JSONL）。",
    "Share of films whose outcome lies within the intervals.": "结果落在区间之内的影片所占比例。",
    "Plan one film: LOW..HIGH/STEP (day, week, month, year, or a number of points), or a list. "
    "Several --vary make their product.": (
        "为一部影片比较方案：LOW..HIGH/STEP（day、week、month、year 或点数），或列出各值。"
        "多个 --vary 取其所有组合。"
    ),
    "What the best plan of --vary has most of. Default: the first that the model predicts.": (
        "--vary 的最佳方案以什么为准。默认为模型预测的第一项。"
    ),
    "Draw the plans of --vary (PNG).": "画出 --vary 的各方案（PNG）。",
    "Say why: what moved each forecast, similar films.": (
        "说明原因：是什么影响了每个预测，以及相似的影片。"
    ),
    "Write a page (HTML) with forecast, reasons, similar films and the plans of --vary.": (
        "写出网页（HTML）：预测、原因、相似的影片和 --vary 的各方案。"
    ),
    "Serve only every N-th row, from the I-th: N runs, on one machine or many, serve all.": (
        "从第 I 行起每 N 行只处理一行：在一台或多台机器上运行 N 次即可处理全部。"
    ),
    "Go on where a run of the same command with --output was interrupted.": (
        "从同一命令（带 --output）上次中断的地方继续。"
    ),
    "Language of tables, pages and messages; --language zh is --speak zh. Default: that of the "
    "locale.": "表格、网页和消息的语言；--language zh 等同于 --speak zh。默认取自区域设置。",
    "Repeatable, or one list separated by '|' or commas. --language zh is --speak zh.": (
        "可重复，或用 '|' 或逗号分隔的列表。--language zh 等同于 --speak zh。"
    ),
    "Where compiled programs are kept for the next start; none: nowhere. Default: mfp/compiled in "
    "your cache folder, or JAX_COMPILATION_CACHE_DIR.": (
        "保存已编译程序供下次启动使用的位置；none 表示不保存。默认为缓存文件夹中的 mfp/compiled，"
        "或 JAX_COMPILATION_CACHE_DIR。"
    ),
    "Do not compare the bundle with its hashes.": "不用散列值校验模型。",
    "Show the version and exit.": "显示版本并退出。",
    "Show this message and exit.": "显示本帮助并退出。",
    "Title of the film.": "影片的片名。",
    "Your own id, for example an IMDb id.": "自定的编号，例如 IMDb 编号。",
    "YYYY-MM-DD, YYYY-MM or YYYY.": "YYYY-MM-DD、YYYY-MM 或 YYYY。",
    "Age rating, for example PG-13.": "年龄分级，例如 PG-13。",
    "What happens.": "剧情内容。",
    "The line on the poster.": "海报上的宣传语。",
    "A picture file: JPEG, PNG or WebP.": "图片文件：JPEG、PNG 或 WebP。",
    "A clip, or a folder of its frames.": "一段视频，或其各帧所在的文件夹。",
    "Repeatable, or one list separated by '|' or commas.": "可重复，或用 '|' 或逗号分隔的列表。",
    "In {unit}.": "单位：{unit!t}。",
}
